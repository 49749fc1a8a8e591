package engine

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// hold stops a remediation that has begun until an operator resumes or cancels it.
// Its locks stay, its slot is free for others, its deadline stands still, and
// people are told. nil: resumed. To resume is also consent to what guards asked for.
func (r *run) hold(ctx context.Context, why audit.Reason, asks ...string) *ending {
	why.Text = r.snap.RedactText(why.Text)
	rec := r.record(&audit.Record{
		Type: audit.RemediationHeld, Reason: &why, Targets: r.targets, Data: audit.JSON(ledger.StepData{Phase: r.phase}),
	})
	if err := r.rec.speak(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	ep, _ := r.episode()
	// Each time: what was resumed too early is held again, with its targets locked.
	r.e.tell(ctx, r.snap, r.book.Policy, ep, r.id, actions.Message{Text: "remediation " + r.id + " is held after its first effect: " + why.Text})
	r.log.Warn("held", zap.String("reason", why.Text))
	return r.parked(ctx, asks...)
}

// holdSeen is how long a hold that asks for consent must stand before an order counts
// as that consent: whoever ordered earlier had looked at another one.
const holdSeen = 2 * time.Second

// parked waits for an operator's order.
func (r *run) parked(ctx context.Context, asks ...string) *ending {
	since := r.e.now()
	this := &request{}
	r.holding.Store(this)
	r.state.Store(stateHeld)
	_ = r.e.do(r.e.reads, func() { r.e.sched.Park(r.id) })
	defer func() {
		r.holding.Store(nil)
		r.waited += r.e.now().Sub(since)
	}()
	o, ok := r.order(this, nil)
	for ok && !o.cancel && len(asks) > 0 && r.e.now().Sub(since) < holdSeen {
		o.taken <- &StateError{ID: r.id, State: "held anew a moment ago, and a guard asks for consent", Want: "as it was when you looked: look again"}
		o, ok = r.order(this, nil)
	}
	switch {
	case !ok:
		return &ending{left: true}
	default:
		if o.cancel {
			o.taken <- nil
			return &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "cancelled", Text: fmt.Sprintf("cancelled by %s: %s", o.actor, o.reason)}}
		}
		rec := r.record(&audit.Record{Type: audit.ControlResumed, Actor: o.actor, Reason: &audit.Reason{Code: "resumed", Text: o.reason}})
		err := r.rec.add(ctx, rec)
		o.taken <- err // once it is durable
		if err != nil {
			return r.interrupted(err)
		}
		r.state.Store(stateRunning)
		r.satisfy(asks, o.actor)
		_ = r.e.do(r.e.reads, func() { r.e.sched.Unpark(r.id) })
		return nil
	}
}

// order waits for one that answers what the run waits for: this request for consent,
// or this hold. Others are turned away: what was meant for one hold must not be taken
// for consent to the next. ok is false when the daemon stops or over
// comes first.
func (r *run) order(asked *request, over <-chan time.Time) (o order, ok bool) {
	for {
		select {
		case o := <-r.orders:
			if o.asked == asked {
				return o, true
			}
			o.taken <- &StateError{ID: r.id, State: r.stateName(), Want: "in the state that this was meant for"}
		case <-over:
			return order{}, false
		case <-r.e.stopping:
			return order{}, false
		}
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
	if asking := r.asking.Load(); asking != nil && cancel {
		return e.Reject(ctx, id, actor, reason) // cancelling what asks is refusing it
	}
	hold := r.holding.Load()
	if r.state.Load() != stateHeld || hold == nil {
		return &StateError{ID: id, State: r.stateName(), Want: string(ledger.Held)}
	}
	return e.pass(ctx, r, order{cancel: cancel, actor: actor, reason: reason, asked: hold})
}

func (r *run) stateName() string {
	switch r.state.Load() {
	case stateQueued:
		return string(ledger.Queued)
	case stateHeld:
		return string(ledger.Held)
	case stateAsking:
		return string(ledger.AwaitingApproval)
	default:
		return string(ledger.Running)
	}
}

// NotFoundError says that there is nothing of that name.
type NotFoundError struct {
	Kind string // "": a remediation
	ID   string
}

// Error names it.
func (e *NotFoundError) Error() string {
	if e.Kind == "" {
		return fmt.Sprintf("no remediation %q", e.ID)
	}
	return fmt.Sprintf("no %s %q", e.Kind, e.ID)
}

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
