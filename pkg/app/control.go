package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
)

// controller answers handlers.Controller.
type controller struct {
	engine *engine.Engine
	reload func(ctx context.Context, actor string) error
}

// scopeName is a scope as records spell it.
func scopeName(s handlers.Scope) (string, error) {
	switch {
	case s.Policy != "" && s.Target != "":
		return "", fmt.Errorf("%w: name a policy or a target, not both", handlers.ErrInvalid)
	case s.Policy != "":
		return "policy:" + s.Policy, nil
	case s.Target != "":
		return "target:" + s.Target, nil
	default:
		return "global", nil
	}
}

func scopeOf(name string) handlers.Scope {
	if p, ok := strings.CutPrefix(name, "policy:"); ok {
		return handlers.Scope{Policy: p}
	}
	if t, ok := strings.CutPrefix(name, "target:"); ok {
		return handlers.Scope{Target: t}
	}
	return handlers.Scope{}
}

// Reload loads the configuration anew.
func (c controller) Reload(ctx context.Context, actor string) error { return c.reload(ctx, actor) }

// Pause stops effects within a scope. A policy that does not exist is refused: a
// misspelt kill switch would stop nothing.
func (c controller) Pause(ctx context.Context, actor string, p handlers.PauseRequest) error {
	scope, err := scopeName(p.Scope)
	if err != nil {
		return err
	}
	if p.Policy != "" && c.engine.Snapshot().Runbooks[p.Policy] == nil {
		return fmt.Errorf("%w: no policy %q", handlers.ErrInvalid, p.Policy)
	}
	if p.Target != "" && !c.engine.Snapshot().Targets[p.Target] {
		return fmt.Errorf("%w: no target %q", handlers.ErrInvalid, p.Target)
	}
	var until time.Time
	if p.Until != nil {
		until = *p.Until
	}
	return c.engine.Pause(ctx, actor, scope, p.Reason, until)
}

// Resume lifts a pause.
func (c controller) Resume(ctx context.Context, actor string, r handlers.ResumeRequest) error {
	scope, err := scopeName(r.Scope)
	if err != nil {
		return err
	}
	return c.engine.Resume(ctx, actor, scope, r.Reason)
}

// ResumeHeld lets a held remediation go on.
func (c controller) ResumeHeld(ctx context.Context, actor, id string) error {
	return mapped(c.engine.Order(ctx, id, false, actor, ""))
}

// Cancel ends a held remediation.
func (c controller) Cancel(ctx context.Context, actor, id, reason string) error {
	return mapped(c.engine.Order(ctx, id, true, actor, reason))
}

// Approve consents to the plan of that hash.
func (c controller) Approve(ctx context.Context, actor, id, planHash, reason string) error {
	return mapped(c.engine.Approve(ctx, id, planHash, actor, reason))
}

// Reject refuses consent.
func (c controller) Reject(ctx context.Context, actor, id, reason string) error {
	return mapped(c.engine.Reject(ctx, id, actor, reason))
}

// Run starts a policy for a person.
func (c controller) Run(ctx context.Context, actor string, r handlers.RunRequest) (*handlers.RunAnswer, error) {
	if c.engine.Snapshot().Runbooks[r.Policy] == nil {
		return nil, fmt.Errorf("policy %q: %w: GET /api/v1/policies lists them", r.Policy, handlers.ErrNotFound)
	}
	a, err := c.engine.Run(ctx, r.Policy, r.Labels, actor, r.Reason)
	if err != nil {
		return nil, mapped(err)
	}
	return &handlers.RunAnswer{
		Episode: a.Episode, Remediation: a.Remediation, Policy: a.Policy, Mode: a.Mode,
		Verdict: a.Verdict, Reason: a.Reason, Guards: a.Guards,
	}, nil
}

// Clear ends the quarantine of a target.
func (c controller) Clear(ctx context.Context, actor, target, reason string) error {
	err := c.engine.Clear(ctx, target, actor, reason)
	if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("target %q: %w among those in quarantine: remediator status lists them", target, handlers.ErrNotFound)
	}
	return mapped(err)
}

func mapped(err error) error {
	var missing *engine.NotFoundError
	var state *engine.StateError
	var changed *engine.PlanChangedError
	switch {
	case errors.As(err, &changed):
		return &handlers.PlanChangedError{ID: changed.ID, Asked: changed.Want, Given: changed.Got}
	case errors.As(err, &missing):
		return fmt.Errorf("%w: %w", handlers.ErrNotFound, err)
	case errors.As(err, &state):
		return fmt.Errorf("%w: %w", handlers.ErrConflict, err)
	default:
		return err
	}
}

// Plan says what the running daemon would do about a notification that arrives now.
func (c controller) Plan(ctx context.Context, n *alert.Notification) (any, error) {
	return c.engine.Plan(ctx, n, time.Now())
}
