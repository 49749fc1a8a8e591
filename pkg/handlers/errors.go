package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// retryAfter is what a 503 asks for. Alertmanager keeps its own back-off.
const retryAfter = 5 * time.Second

// asProblem is the answer to an error of an endpoint.
func asProblem(err error) *problem.Problem {
	var p *problem.Problem
	var refused *alert.Error
	var changed *PlanChangedError
	switch {
	case errors.As(err, &p):
		copied := *p // the instance is filled in later; it may be shared
		return &copied
	case errors.As(err, &refused):
		return problem.New(refused.Status, refused.Code, "%s", refused.Detail)
	case unavailable(err):
		return problem.Unavailable(retryAfter, "store_unavailable", "the audit store cannot be used now: send it again later").Because(err)
	case errors.Is(err, ErrNotFound):
		return problem.New(http.StatusNotFound, "not_found", "%v", err)
	case errors.As(err, &changed):
		return problem.New(http.StatusConflict, "plan_changed", "%v", err).
			Extend(map[string]string{"plan_hash": changed.Asked, "given": changed.Given})
	case errors.Is(err, ErrConflict):
		return problem.New(http.StatusConflict, "conflict", "%v", err)
	case errors.Is(err, ErrInvalid):
		return problem.New(http.StatusBadRequest, "invalid_request", "%v", err)
	case errors.Is(err, ErrRejected):
		return problem.New(http.StatusUnprocessableEntity, "config_rejected", "%v", err)
	}
	return problem.New(http.StatusInternalServerError, "internal", "something went wrong inside: the log has it under this request_id").Because(err)
}

// unavailable tells errors after which the same request may succeed later.
func unavailable(err error) bool {
	for _, target := range []error{audit.ErrUnavailable, audit.ErrInDoubt, audit.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// fail answers with the error, and logs the cause where it does not leave.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err)
	p.Instance = clip(r.URL.Path)
	p.RequestID = requestID(r)
	if p.Err != nil {
		a.Logger.Error("request failed", zap.String("request_id", p.RequestID), zap.String("method", r.Method),
			zap.String("path", p.Instance), zap.Int("status", p.Status), zap.Error(p.Err))
	}
	p.Write(w)
}
