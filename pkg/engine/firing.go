package engine

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// stillFiring asks whether there is still a reason to act (design §5): a fresh
// notification is enough; without one Alertmanager is asked, and without
// Alertmanager confirm decides alone.
func (r *run) stillFiring(_ context.Context) *ending {
	if r.began { // found after a crash, and resumed: what has begun is brought to its end
		return nil
	}
	ep, ok := r.episode()
	if !ok {
		return withdraw(policy.Reasoned(policy.CodeResolved, "the alert has resolved meanwhile"))
	}
	if r.book.Policy.On == policy.OnResolved || r.snap.Alerts == nil {
		return nil
	}
	open := r.open()
	for _, ep := range open {
		if ep.Origin != ledger.OriginWebhook { // Alertmanager knows nothing of it
			return nil
		}
		if r.e.now().Sub(ep.LastWebhook) < Fresh {
			return nil
		}
	}
	ask, cancel := context.WithTimeout(r.reads(), 10*time.Second)
	defer cancel()
	current, _, err := r.snap.Alerts.Current(ask)
	if err != nil {
		return withdraw(policy.Reasoned(policy.CodeAlertUnknown, fmt.Sprintf(
			"the last notification is %s old and Alertmanager does not answer: %v", r.e.now().Sub(ep.LastWebhook).Round(time.Second), err)))
	}
	silenced := false
	for _, ep := range open {
		switch cur, ok := current[ep.Fingerprint]; {
		case !ok:
		case cur.State == StateSuppressed:
			silenced = true
		default:
			return nil
		}
	}
	if silenced {
		return withdraw(policy.Reasoned(policy.CodeSilenced, "the alert is silenced or inhibited in Alertmanager"))
	}
	return withdraw(policy.Reasoned(policy.CodeResolved, "Alertmanager does not list the alert any more"))
}

// open are the run's episodes that fire.
func (r *run) open() []ledger.Episode {
	var out []ledger.Episode
	for _, id := range r.joined() {
		if ep, ok := r.e.ledger.Episode(id); ok && ep.Open {
			out = append(out, ep)
		}
	}
	return out
}

// reconcile compares open episodes with what Alertmanager holds: a webhook may
// have been lost, and none comes for an alert that resolves while silenced. The
// question is asked outside the loop, the answer is worked in it.
func (e *Engine) reconcile(ctx context.Context) {
	snap := e.snap.Load()
	if snap.Alerts == nil || e.isStopping() {
		return
	}
	asked := e.now()
	e.runs.Go(func() {
		ask, cancel := context.WithTimeout(e.reads, 30*time.Second)
		defer cancel()
		current, started, err := snap.Alerts.Current(ask)
		if err != nil {
			if e.reads.Err() == nil {
				e.log.Warn("alertmanager does not answer; open episodes are not reconciled", zap.Error(err))
			}
			return
		}
		_ = e.do(e.reads, func() { e.reconciled(ctx, asked, current, started) })
	})
}

func (e *Engine) reconciled(ctx context.Context, asked time.Time, current map[string]CurrentAlert, started time.Time) {
	for _, ep := range e.ledger.Episodes(true) {
		if ep.Origin != ledger.OriginWebhook {
			continue
		}
		cur, ok := current[ep.Fingerprint]
		if ok {
			e.absent[ep.ID] = cur.State
			e.seen(ctx, ep, cur)
			continue
		}
		last := e.absent[ep.ID]
		if asked.Sub(ep.LastWebhook) < AbsentFor || asked.Sub(started) < AbsentFor {
			continue
		}
		cause := ledger.CauseAbsent
		if last == StateSuppressed {
			cause = ledger.CauseSilenced
		}
		a := ep.Alert
		a.Status, a.EndsAt = alert.Resolved, asked
		e.apply(ctx, audit.AlertResolved, ep.ID, a, cause, false)
		delete(e.absent, ep.ID)
	}
	for fp, cur := range current {
		ep, ok := e.ledger.Latest(fp)
		if !ok || ep.Open || cur.State != StateActive || ep.ClosedAt.After(asked) || !ep.Continues(cur.Alert.StartsAt) {
			continue
		}
		a := ep.Alert
		a.Status, a.EndsAt = alert.Firing, time.Time{}
		e.apply(ctx, audit.AlertFiring, ep.ID, a, ledger.CauseReconciled, true)
	}
}

func (e *Engine) apply(ctx context.Context, t audit.Type, episode string, a alert.Alert, cause string, reopened bool) {
	// It also says how far notifications have been taken in: one from before this
	// must not be taken in behind it after a crash.
	rec := e.alertRecord(t, episode, a, ledger.AlertData{Notification: e.taken, Cause: cause, Reopened: reopened})
	if err := e.mustAppend(ctx, rec); err != nil {
		e.log.Error("reconciliation not recorded", zap.String("episode", episode), zap.Error(err))
		return
	}
	e.changedAll(ctx, []string{episode})
}

// seen: Alertmanager holds the alert; cases that waited for word of it go on.
func (e *Engine) seen(ctx context.Context, ep ledger.Episode, cur CurrentAlert) {
	if cur.State == StateSuppressed {
		return
	}
	for name, d := range ep.Decided {
		if asks(d.Code) {
			e.evaluate(ctx, caseID{ep.ID, name})
		}
	}
}
