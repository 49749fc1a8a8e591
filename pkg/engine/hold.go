package engine

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// hold stops a remediation that has begun until an operator resumes or cancels it.
// Its locks stay, its slot is free for others, its deadline stands still, and
// people are told. nil: resumed.
func (r *run) hold(ctx context.Context, why audit.Reason) *ending {
	why.Text = r.snap.RedactText(why.Text)
	rec := r.record(&audit.Record{Type: audit.RemediationHeld, Reason: &why, Targets: r.targets})
	if err := r.rec.speak(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	ep, _ := r.episode()
	r.e.escalate(ctx, r.snap, r.book.Policy, ep, r.id, "remediation "+r.id+" is held after its first effect: "+why.Text)
	r.log.Warn("held", zap.String("reason", why.Text))
	return r.parked(ctx)
}

// parked waits for an operator's order.
func (r *run) parked(ctx context.Context) *ending {
	since := r.e.now()
	r.state.Store(stateHeld)
	_ = r.e.do(r.e.reads, func() { r.e.sched.Park(r.id) })
	defer func() { r.waited += r.e.now().Sub(since) }()
	select {
	case o := <-r.orders:
		if o.cancel {
			return &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "cancelled", Text: fmt.Sprintf("cancelled by %s: %s", o.actor, o.reason)}}
		}
		rec := r.record(&audit.Record{Type: audit.ControlResumed, Actor: o.actor, Reason: &audit.Reason{Code: "resumed", Text: o.reason}})
		if err := r.rec.add(ctx, rec); err != nil {
			return r.interrupted(err)
		}
		r.state.Store(stateRunning)
		_ = r.e.do(r.e.reads, func() { r.e.sched.Unpark(r.id) })
		return nil
	case <-r.e.stopping:
		return &ending{left: true}
	}
}

// waitFor waits for a guard to lift after the first effect (on_refused: wait). The
// deadline stands still and the slot is free meanwhile, but not for longer than
// the deadline itself.
func (r *run) waitFor(ctx context.Context, d policy.Decision) *ending {
	since := r.e.now()
	if r.waited > r.book.Policy.Settings.Deadline {
		return r.hold(ctx, audit.Reason{Code: string(d.Code), Text: "waited as long as the deadline allows: " + d.Text})
	}
	pause := 5 * time.Second
	if left := d.Until.Sub(since); !d.Until.IsZero() && left > 0 {
		pause = min(left, time.Minute)
	}
	_ = r.e.do(r.e.reads, func() { r.e.sched.Park(r.id) })
	defer func() { r.waited += r.e.now().Sub(since) }()
	select {
	case <-time.After(pause):
		_ = r.e.do(r.e.reads, func() { r.e.sched.Unpark(r.id) })
		return nil
	case <-r.e.stopping:
		return r.stopped()
	}
}

// Order passes an operator's order to a held remediation: resume, or cancel.
func (e *Engine) Order(ctx context.Context, id string, cancel bool, actor, reason string) error {
	var r *run
	if err := e.do(ctx, func() { r = e.active[id] }); err != nil {
		return err
	}
	if r == nil {
		rem, ok := e.ledger.Remediation(id)
		if !ok {
			return &NotFoundError{ID: id}
		}
		return &StateError{ID: id, State: string(rem.State), Want: string(ledger.Held)}
	}
	if r.foreign && !cancel {
		return &StateError{ID: id, State: "of a policy that was changed since it began", Want: "unchanged: cancel it"}
	}
	if r.state.Load() != stateHeld {
		return &StateError{ID: id, State: r.stateName(), Want: string(ledger.Held)}
	}
	select {
	case r.orders <- order{cancel: cancel, actor: actor, reason: reason}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.loopEnd:
		return errStopping
	}
}

func (r *run) stateName() string {
	switch r.state.Load() {
	case stateQueued:
		return string(ledger.Queued)
	case stateHeld:
		return string(ledger.Held)
	default:
		return string(ledger.Running)
	}
}

// NotFoundError says that there is no remediation of that id.
type NotFoundError struct{ ID string }

// Error names the id.
func (e *NotFoundError) Error() string { return fmt.Sprintf("no remediation %q", e.ID) }

// StateError says that the remediation is not in the state that the order needs.
type StateError struct{ ID, State, Want string }

// Error names both states.
func (e *StateError) Error() string {
	return fmt.Sprintf("remediation %s is %s, not %s", e.ID, e.State, e.Want)
}

// Pause and Resume set and lift the kill switch for a scope: "global",
// "policy:NAME" or "target:NAME". The record is the pause: it outlives a restart.
func (e *Engine) Pause(ctx context.Context, actor, scope, reason string, until time.Time) error {
	snap := e.snap.Load()
	return e.journal.Append(ctx, e.stamp(&audit.Record{
		Type: audit.ControlPaused, Mode: string(snap.Mode), Actor: actor,
		Data: audit.JSON(ledger.PauseData{Scope: scope, Reason: reason, Until: until}),
	}, nil, snap))
}

// Resume lifts a pause and decides everything that waited again.
func (e *Engine) Resume(ctx context.Context, actor, scope, reason string) error {
	snap := e.snap.Load()
	err := e.journal.Append(ctx, e.stamp(&audit.Record{
		Type: audit.ControlResumed, Mode: string(snap.Mode), Actor: actor,
		Data: audit.JSON(ledger.PauseData{Scope: scope, Reason: reason}),
	}, nil, snap))
	if err != nil {
		return err
	}
	return e.do(ctx, func() { e.reconsider(context.WithoutCancel(ctx), true) })
}
