package engine

import (
	"context"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// Planned is what would become of one alert of a notification (design §8, plan).
type Planned struct {
	Alert   alert.Alert   `json:"alert"`
	Policy  string        `json:"policy,omitempty"`
	Runbook string        `json:"runbook,omitempty"`
	Mode    string        `json:"mode"`
	Verdict string        `json:"verdict"`
	Reason  audit.Reason  `json:"reason"`
	Guards  []audit.Guard `json:"guards"`
	Plan    *FullPlan     `json:"plan,omitempty"`
	Checks  []CheckLine   `json:"checks,omitempty"`
}

// FullPlan is a remediation's plan with its hash.
type FullPlan struct {
	Steps []PlanStep `json:"steps"`
	Hash  string     `json:"hash"`
}

// CheckLine is the answer of a check that planning asked.
type CheckLine struct {
	Phase  string         `json:"phase"`
	Step   int            `json:"step"`
	ID     string         `json:"id,omitempty"`
	Uses   string         `json:"uses"`
	Result actions.Result `json:"result"`
}

// Plan says what would be done about a notification that arrives at received:
// every guard, the confirm checks and the plan of the first policy that matches
// each alert. It reads the world and changes nothing, not even the journal.
func (e *Engine) Plan(ctx context.Context, n *alert.Notification, received time.Time) ([]Planned, error) {
	snap := e.snap.Load()
	out := make([]Planned, 0, len(n.Alerts))
	for _, a := range n.Alerts {
		a.Fingerprint = alert.Fingerprint(a)
		out = append(out, e.planAlert(ctx, snap, a, received))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *Engine) planAlert(ctx context.Context, snap *Snapshot, a alert.Alert, received time.Time) Planned {
	ep := e.imagine(a, received)
	out := Planned{Alert: a, Mode: string(snap.Mode), Guards: []audit.Guard{}}
	p, d := e.planPolicy(snap, a, ep)
	if p != nil {
		out.Policy, out.Runbook, out.Mode = p.Name, p.Runbook, string(snap.mode(p))
	}
	if d == nil {
		rb := snap.Runbooks[p.Name]
		full := e.decideSafely(ctx, snap, rb, ep)
		d = &full
		if d.starts() {
			var r *run
			d.Decision, r = e.rehearse(ctx, snap, rb, ep, full)
			out.Plan = &FullPlan{Steps: r.shown(r.plans), Hash: hashPlans(r.plans)}
			out.Checks = r.looked
		}
	}
	out.Verdict, out.Reason, out.Guards = string(d.Verdict), audit.Reason{Code: string(d.Code), Text: snap.RedactText(d.Text)}, Guards(d.Decision)
	return out
}

// planPolicy finds the policy; a decision comes with it when no guard is asked.
func (e *Engine) planPolicy(snap *Snapshot, a alert.Alert, ep ledger.Episode) (*policy.Policy, *decision) {
	reasoned := func(c policy.Code, text string) *decision { return &decision{Decision: policy.Reasoned(c, text)} }
	if ownAlert(a) {
		return nil, reasoned(policy.CodeOwnAlert, "sent by remediator itself")
	}
	if ps := snap.Policies.Match(a.Labels, a.Status); len(ps) > 0 {
		return ps[0], nil
	}
	if p := snap.Policies.Other(a.Labels, a.Status); p != nil {
		return p, nil // its guard `resolved` says why not
	}
	return nil, reasoned(policy.CodeNoPolicy, "no policy matches this alert")
}

// imagine is the episode as it would be after the alert was taken in.
func (e *Engine) imagine(a alert.Alert, received time.Time) ledger.Episode {
	if ep, ok := e.ledger.Latest(a.Fingerprint); ok && ep.Open && !a.StartsAt.After(ep.Alert.StartsAt) {
		ep.Alert, ep.Open = a, a.Status == alert.Firing
		return ep
	}
	ep := ledger.Episode{
		ID: "e-plan", Fingerprint: a.Fingerprint, Alert: a, FirstStartsAt: a.StartsAt, FirstSeen: received,
		LastWebhook: e.now(), Open: a.Status == alert.Firing, Lineage: "e-plan",
		Decided: map[string]ledger.Decided{}, Escalated: map[string]bool{},
	}
	if !ep.Open {
		ep.ClosedAt = received
	}
	return ep
}

// decideSafely asks the guards in the loop while one runs, else right here.
func (e *Engine) decideSafely(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode) decision {
	if e.reads == nil {
		return e.decide(snap, rb, ep, "", nil)
	}
	var d decision
	if err := e.do(ctx, func() { d = e.decide(snap, rb, ep, "", nil) }); err != nil {
		d.Decision = policy.Reasoned(policy.CodeUnconfirmable, err.Error())
	}
	return d
}

// rehearse runs the stages that only read, without a record.
func (e *Engine) rehearse(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) (policy.Decision, *run) {
	r := e.newRun(snap, rb, ep, d)
	r.fixed, r.started, r.rec.discard, r.looking = &ep, e.now(), true, ctx
	for _, do := range []func(*run, context.Context) *ending{(*run).confirm, (*run).plan} {
		end := do(r, ctx)
		if end == nil {
			continue
		}
		var refused policy.Decision
		switch {
		case end.outcome == OutcomePlanned:
			return d.Decision, r
		case end.decision != nil:
			refused = *end.decision
		default:
			refused = policy.Reasoned(policy.CodeUnconfirmable, end.reason.Text+": "+end.err)
		}
		refused.Answers = d.Answers
		return refused, r
	}
	return d.Decision, r
}

func hashPlans(steps []PlanStep) string {
	var plans []actions.Plan
	for _, s := range steps {
		if s.Plan != nil {
			plans = append(plans, *s.Plan)
		} else {
			plans = append(plans, actions.Plan{Uses: s.Uses, Targets: s.Targets, Conditional: true})
		}
	}
	return actions.Hash(plans)
}
