package handlers

import (
	"net/http"
	"time"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// reload is POST /-/reload. A configuration that is refused is a 422 with the
// mistakes; the last good one stays.
func (a *api) reload(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	if err := a.Controller.Reload(r.Context(), who.Actor()); err != nil {
		return err
	}
	return ok(w)
}

// pause is POST /api/v1/pause. An empty body, or one that names
// neither a policy nor a target, pauses everything until resumed.
func (a *api) pause(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	var p PauseRequest
	if err := readControl(w, r, &p, "policy", "target"); err != nil {
		return err
	}
	if p.Until != nil && !p.Until.After(time.Now()) {
		return problem.New(http.StatusBadRequest, "invalid_request", "until is in the past")
	}
	if err := a.Controller.Pause(r.Context(), who.Actor(), p); err != nil {
		return err
	}
	return ok(w)
}

// resume is POST /api/v1/resume: the end of the pause of exactly that scope.
func (a *api) resume(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	var body ResumeRequest
	if err := readControl(w, r, &body, "policy", "target"); err != nil {
		return err
	}
	if err := a.Controller.Resume(r.Context(), who.Actor(), body); err != nil {
		return err
	}
	return ok(w)
}

// plan is POST /api/v1/plan: what the running daemon would do about a payload.
func (a *api) plan(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	n, _, err := readNotification(w, r)
	if err != nil {
		return err
	}
	plan, err := a.Controller.Plan(r.Context(), n)
	if err != nil {
		return err
	}
	return writeJSON(w, plan)
}

// resumeHeld is POST /api/v1/remediations/{id}/resume.
func (a *api) resumeHeld(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := readControl(w, r, &struct{}{}); err != nil {
		return err
	}
	if err := a.Controller.ResumeHeld(r.Context(), who.Actor(), id); err != nil {
		return err
	}
	return ok(w)
}

// cancel is POST /api/v1/remediations/{id}/cancel.
func (a *api) cancel(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if err := readControl(w, r, &body); err != nil {
		return err
	}
	if err := a.Controller.Cancel(r.Context(), who.Actor(), id, body.Reason); err != nil {
		return err
	}
	return ok(w)
}
