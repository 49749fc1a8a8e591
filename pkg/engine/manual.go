package engine

import (
	"context"
	"maps"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// RunAnswer is what became of a person's request to run a policy.
type RunAnswer struct {
	Episode     string        `json:"episode"`
	Remediation string        `json:"remediation,omitempty"` // "": refused
	Policy      string        `json:"policy"`
	Mode        string        `json:"mode"`
	Verdict     string        `json:"verdict"`
	Reason      audit.Reason  `json:"reason"`
	Guards      []audit.Guard `json:"guards"`
}

// Labels of a synthetic alert. The run's own id makes its label set one of a kind,
// so that no real alert can be taken for it.
const (
	labelRun = "remediator_run"
	nameRun  = "RemediatorRun"
)

// Run starts a policy for a person: a synthetic episode with the given labels goes
// through all guards. One that is refused ends at once: nothing that a person asked
// for starts hours later by surprise. An unknown policy is a *NotFoundError.
func (e *Engine) Run(ctx context.Context, name string, labels map[string]string, actor, reason string) (RunAnswer, error) {
	var out RunAnswer
	var err error
	if derr := e.do(ctx, func() { out, err = e.run(context.WithoutCancel(ctx), name, labels, actor, reason) }); derr != nil {
		return RunAnswer{}, derr
	}
	return out, err
}

func (e *Engine) run(ctx context.Context, name string, labels map[string]string, actor, reason string) (RunAnswer, error) {
	snap := e.snap.Load()
	rb := snap.Runbooks[name]
	switch {
	case e.isStopping():
		return RunAnswer{}, errStopping
	case rb == nil:
		return RunAnswer{}, &NotFoundError{Kind: "policy", ID: name}
	}
	id := e.newID("e")
	a := alert.Alert{Status: alert.Firing, StartsAt: e.now(), Labels: map[string]string{"alertname": nameRun}, Annotations: map[string]string{}}
	maps.Copy(a.Labels, labels)
	a.Labels[labelRun] = id
	delete(a.Labels, "source") // it is no alert of remediator's own
	a.Fingerprint = alert.Fingerprint(a)
	rec := e.alertRecord(audit.AlertFiring, id, a, ledger.AlertData{
		Cause: ledger.CauseRun, Origin: ledger.OriginRun, Policy: name, Reason: snap.RedactText(reason), Notification: e.taken,
	})
	rec.Actor, rec.Policy = actor, name
	if err := e.journal.Append(ctx, rec); err != nil {
		return RunAnswer{}, err
	}
	e.log.Info("a person starts a policy", zap.String("policy", name), zap.String("actor", actor), zap.String("reason", reason), zap.String("episode", id))
	c := caseID{id, name}
	d, _ := e.evaluate(ctx, c)
	out := RunAnswer{
		Episode: id, Policy: name, Mode: string(snap.mode(rb.Policy)), Verdict: string(d.Verdict),
		Reason: audit.Reason{Code: string(d.Code), Text: snap.RedactText(d.Text)}, Guards: Guards(d.Decision),
	}
	if r := e.handling(c); r != nil {
		out.Remediation = r.id
		return out, nil
	}
	e.endRun(ctx, id)
	return out, nil
}

// endRuns ends the episodes of persons' runs that a remediation worked for.
func (e *Engine) endRuns(ctx context.Context, r *run) {
	for _, id := range r.joined() {
		e.endRun(ctx, id)
	}
}

func (e *Engine) endRun(ctx context.Context, id string) {
	ep, ok := e.ledger.Episode(id)
	if !ok || ep.Origin != ledger.OriginRun || !ep.Open {
		return
	}
	a := ep.Alert
	a.Status, a.EndsAt = alert.Resolved, e.now()
	rec := e.alertRecord(audit.AlertResolved, id, a, ledger.AlertData{Cause: ledger.CauseRun, Origin: ledger.OriginRun, Policy: ep.Policy, Notification: e.taken})
	if err := e.mustAppend(ctx, rec); err != nil {
		e.log.Error("the end of a run is not recorded", zap.String("episode", id), zap.Error(err))
	}
	e.forget(caseID{id, ep.Policy}.key())
	if len(ep.Decided) > 0 {
		return
	}
	snap := e.snap.Load()
	var p *policy.Policy
	if rb := snap.Runbooks[ep.Policy]; rb != nil {
		p = rb.Policy
	}
	e.record(ctx, snap, p, ep, decision{Decision: policy.Reasoned(policy.CodeResolved, "remediator was stopped before it was decided: run the policy again")}, "")
}

// Clear ends the quarantine of a target. A target that is in none is a *NotFoundError.
func (e *Engine) Clear(ctx context.Context, target, actor, reason string) error {
	snap := e.snap.Load()
	if _, ok := e.ledger.View(string(policy.Live)).Quarantined(target); !ok {
		return &NotFoundError{Kind: "quarantine of", ID: target}
	}
	err := e.journal.Append(ctx, e.stamp(&audit.Record{
		Type: audit.ControlCleared, Mode: string(snap.Mode), Actor: actor, Target: target,
		Reason: &audit.Reason{Code: "cleared", Text: snap.RedactText(reason)},
	}, nil, snap))
	if err != nil {
		return err
	}
	return e.do(ctx, func() { e.lift(context.WithoutCancel(ctx), policy.CodeQuarantined) })
}
