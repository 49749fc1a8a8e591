package engine

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/dispatch"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// caseID is one episode under one policy: what is decided.
type caseID struct{ episode, policy string }

func (c caseID) key() string { return prefixCase + c.episode + "|" + c.policy }

// decision is a verdict with the targets it was made for.
type decision struct {
	policy.Decision
	targets  []string // of unconditional steps
	possible []string // all that may be touched: what is locked
}

func (d decision) allowed() bool { return d.Verdict == policy.Execute }

// ownAlert says whether an alert was sent by a remediator (design §5, own alerts).
func ownAlert(a alert.Alert) bool { return a.Labels["source"] == "remediator" }

// scope is what steps may read for an episode before anything has run.
func scope(rb *Runbook, ep ledger.Episode, remediation string, now time.Time) actions.Scope {
	p := rb.Policy
	return actions.Scope{
		Now: now, Alert: ep.Alert, Episode: ep.ID, Policy: p.Name, Runbook: p.Runbook, Severity: p.Severity,
		Remediation: remediation, EpisodeStart: ep.FirstStartsAt, Steps: map[string]actions.Result{},
	}
}

// targetsOf gives the targets of the steps that are sure to run, and all that any
// step may touch.
func targetsOf(rb *Runbook, s actions.Scope) (sure, possible []string, err error) {
	for _, list := range [][]*Step{rb.Steps, rb.OnFailure} {
		for _, st := range list {
			if !st.changes() {
				continue
			}
			t, err := st.Run.Targets(s)
			if err != nil {
				return nil, nil, err
			}
			possible = append(possible, t.Names...)
			if st.If == nil && t.Exact && st.Phase == PhaseSteps {
				sure = append(sure, t.Names...)
			}
		}
	}
	return unique(sure), unique(possible), nil
}

func unique(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }

// decide asks all guards about an episode under a runbook. self is the remediation
// that asks, "" when there is none yet.
func (e *Engine) decide(snap *Snapshot, rb *Runbook, ep ledger.Episode, self string) decision {
	now := e.now()
	e.ledger.Clock(now)
	var d decision
	sure, possible, err := targetsOf(rb, scope(rb, ep, self, now))
	d.targets, d.possible = sure, possible
	if err == nil {
		d.Decision = policy.Decide(e.input(snap, rb, ep, self, sure, possible))
		return d
	}
	// Guards that look at no target still say what stands in the way.
	d.Decision = policy.Decide(e.input(snap, rb, ep, self, nil, nil))
	if d.allowed() {
		answers := d.Answers
		d.Decision = policy.Reasoned(policy.CodeTargetNotFound, err.Error())
		d.Answers = answers
	}
	return d
}

func (e *Engine) input(snap *Snapshot, rb *Runbook, ep ledger.Episode, self string, sure, possible []string) *policy.Input {
	mode := snap.mode(rb.Policy)
	return &policy.Input{
		Now: e.now(), Mode: mode, Policy: rb.Policy, Episode: ep, Targets: sure, Possible: possible,
		History: e.ledger.View(string(mode)), Remediation: self, Active: e.activeList(ep.ID),
		Busy: e.sched.Busy(), SelfTargets: snap.Self.Targets(), GlobalLimits: snap.GlobalLimits,
	}
}

// decideFor asks again for a remediation that is about to start.
func (e *Engine) decideFor(r *run) decision {
	ep, _ := r.episode()
	return e.decide(r.snap, r.book, ep, r.id)
}

// consider decides an episode afresh under every policy that it leads to.
func (e *Engine) consider(ctx context.Context, ep ledger.Episode) {
	snap := e.snap.Load()
	status := alert.Resolved
	if ep.Open {
		status = alert.Firing
	}
	if ownAlert(ep.Alert) {
		e.record(ctx, snap, nil, ep, decision{Decision: policy.Reasoned(policy.CodeOwnAlert, "sent by remediator itself")}, "")
		return
	}
	found := snap.Policies.Match(ep.Alert.Labels, status)
	for _, p := range found {
		e.evaluate(ctx, caseID{ep.ID, p.Name})
	}
	if len(found) > 0 {
		return
	}
	d := decision{Decision: policy.Reasoned(policy.CodeNoPolicy, "no policy matches this alert")}
	p := snap.Policies.Other(ep.Alert.Labels, status)
	switch {
	case p != nil && status == alert.Resolved:
		if _, known := ep.Decided[p.Name]; known {
			return // its case is told of the resolution
		}
		d = decision{Decision: policy.Reasoned(policy.CodeResolved, "the alert is resolved; the policy acts on firing alerts")}
	case p != nil:
		d = decision{Decision: policy.Reasoned(policy.CodeResolved, "the alert fires; the policy acts once it is resolved")}
	case status == alert.Resolved && len(ep.Decided) > 0:
		return
	}
	e.record(ctx, snap, p, ep, d, "")
}

// evaluate decides one case and does what follows from the verdict.
func (e *Engine) evaluate(ctx context.Context, c caseID) {
	key := c.key()
	e.timers.Delete(key)
	snap := e.snap.Load()
	rb := snap.Runbooks[c.policy]
	ep, ok := e.ledger.Episode(c.episode)
	if rb == nil || !ok || e.isStopping() || !e.leadsTo(snap, rb.Policy, ep) {
		e.forget(key)
		return
	}
	if r := e.handling(c); r != nil {
		return // it is decided again when that remediation closes
	}
	e.file(c)
	d := e.decide(snap, rb, ep, "")
	switch {
	case d.allowed():
		e.enqueue(ctx, snap, rb, ep, d)
	case d.Code == policy.CodeJoined:
		e.join(ctx, snap, rb, ep, d)
	default:
		e.wait(ctx, snap, rb, ep, d)
	}
}

// leadsTo says whether an episode still leads to a policy: a reload may have changed
// what it matches. A policy on resolution wants to be told of it by Alertmanager;
// absence from its API is only suspicion.
func (e *Engine) leadsTo(snap *Snapshot, p *policy.Policy, ep ledger.Episode) bool {
	if ownAlert(ep.Alert) {
		return false
	}
	if p.On == policy.OnResolved && !ep.Open && ep.Cause != ledger.CauseWebhook {
		return false
	}
	return slices.Contains(snap.Policies.Match(ep.Alert.Labels, p.On), p)
}

// handling is the active remediation that an episode belongs to under a policy.
func (e *Engine) handling(c caseID) *run {
	return e.handled[c.key()]
}

// file keeps a case, to be found by its key and by its episode.
func (e *Engine) file(c caseID) {
	key := c.key()
	e.cases[key] = c
	if e.filed[c.episode] == nil {
		e.filed[c.episode] = map[string]bool{}
	}
	e.filed[c.episode][key] = true
}

// activate makes a run the one that handles its episodes; deactivate ends that.
func (e *Engine) activate(r *run) {
	e.active[r.id] = r
	for _, id := range r.joined() {
		e.handled[caseID{id, r.book.Policy.Name}.key()] = r
	}
}

func (e *Engine) deactivate(r *run) {
	delete(e.active, r.id)
	for _, id := range r.joined() {
		delete(e.handled, caseID{id, r.book.Policy.Name}.key())
	}
}

// wait records a refusal and sees to it that the case is decided again when the
// guard lifts: by a timer where time lifts it, else by the event that does.
func (e *Engine) wait(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) {
	c := caseID{ep.ID, rb.Policy.Name}
	key := c.key()
	last, decided := ep.Decided[rb.Policy.Name]
	if d.Verdict == policy.Ignore {
		e.forget(key)
		// A resolution after the work was done is no new decision.
		if d.Code == policy.CodeResolved && decided && (last.Verdict == string(policy.Execute) || last.Code == string(policy.CodeJoined)) {
			return
		}
	}
	if d.Guard != "" { // a guard's refusal ends the quiet: what lifts it decides again
		delete(e.retries, key)
	}
	e.record(ctx, snap, rb.Policy, ep, d, "")
	switch {
	case !d.Until.IsZero():
		e.timers.Set(key, d.Until)
	case d.Code == policy.CodeTargetNotFound:
		e.timers.Set(key, e.now().Add(e.backoff(key)))
	case d.Code == policy.CodeAttempts:
		e.escalate(ctx, snap, rb.Policy, ep, "", "no attempt is left and the alert still fires: "+d.Text)
	}
}

// backoff is how long to wait before the next quiet repetition of a case.
func (e *Engine) backoff(key string) time.Duration {
	n := e.retries[key]
	e.retries[key]++
	return min(RetryFirst<<min(n, 10), RetryMost)
}

// record writes remediation.decided when verdict, code or mode differ from what
// was recorded last for the case.
func (e *Engine) record(ctx context.Context, snap *Snapshot, p *policy.Policy, ep ledger.Episode, d decision, remediation string) {
	name := ""
	mode := snap.Mode
	if p != nil {
		name, mode = p.Name, snap.mode(p)
	}
	last, ok := ep.Decided[name]
	if ok && remediation == "" && last.Verdict == string(d.Verdict) && last.Code == string(d.Code) && last.Mode == string(mode) {
		return
	}
	r := e.decidedRecord(snap, p, ep, d, remediation)
	e.log.Info("decided", zap.String("verdict", r.Verdict), zap.String("reason", r.Reason.Code), zap.String("text", r.Reason.Text),
		zap.String("policy", name), zap.String("episode", ep.ID), zap.String("fingerprint", ep.Fingerprint),
		zap.String("remediation", remediation), zap.String("mode", r.Mode))
	e.metrics.Decided(name, r.Verdict, r.Reason.Code)
	if err := e.mustAppend(ctx, r); err != nil {
		e.log.Error("decision not recorded", zap.Error(err))
	}
}

func (e *Engine) decidedRecord(snap *Snapshot, p *policy.Policy, ep ledger.Episode, d decision, remediation string) *audit.Record {
	a := ep.Alert
	mode := snap.Mode
	if p != nil {
		mode = snap.mode(p)
	}
	r := &audit.Record{
		Type: audit.RemediationDecided, Mode: string(mode), Episode: ep.ID, Remediation: remediation,
		Alert: &a, Verdict: string(d.Verdict), Reason: &audit.Reason{Code: string(d.Code), Text: snap.RedactText(d.Text)},
		Guards: Guards(d.Decision), Targets: d.possible,
	}
	if rb := bookOf(snap, p); rb != nil && d.allowed() && remediation != "" {
		r.Data = audit.JSON(ledger.DecidedData{Book: rb.Hash})
	}
	return e.stamp(r, p, snap)
}

func bookOf(snap *Snapshot, p *policy.Policy) *Runbook {
	if p == nil {
		return nil
	}
	return snap.Runbooks[p.Name]
}

// Guards are the answers of a decision as records show them.
func Guards(d policy.Decision) []audit.Guard {
	out := make([]audit.Guard, 0, len(d.Answers))
	for _, a := range d.Answers {
		v := policy.Execute
		if !a.Allows() {
			v = policy.VerdictOf(a.Code)
		}
		out = append(out, audit.Guard{Name: a.Guard, Verdict: string(v), Code: string(a.Code), Text: a.Text})
	}
	return out
}

// enqueue makes a remediation and puts it in the queue. A case that was found not
// confirmed and the like before is tried quietly: nothing is recorded until it
// comes to something else.
func (e *Engine) enqueue(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) {
	key := caseID{ep.ID, rb.Policy.Name}.key()
	if at := e.earliest(key); at.After(e.now()) {
		e.timers.Set(key, at)
		return
	}
	quiet := e.retries[key] > 0
	r := e.newRun(snap, rb, ep, d)
	r.rec.quiet = quiet
	r.before = e.ended[key].failure
	e.activate(r)
	if !quiet {
		e.record(ctx, snap, rb.Policy, ep, d, r.id)
	} else {
		_ = r.rec.add(ctx, e.decidedRecord(snap, rb.Policy, ep, d, r.id))
	}
	e.sched.Enqueue(dispatch.Job{
		ID: r.id, Rank: policy.SeverityRank(rb.Policy.Severity), Since: ep.Alert.StartsAt, Targets: d.possible,
	})
	e.boundary("decided")
}

// join adds an episode to a remediation of the same policy and targets.
func (e *Engine) join(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) {
	r := e.active[d.Join]
	if r == nil {
		return
	}
	r.add(ep.ID)
	e.handled[caseID{ep.ID, rb.Policy.Name}.key()] = r
	rec := e.decidedRecord(snap, rb.Policy, ep, d, r.id)
	e.metrics.Decided(rb.Policy.Name, rec.Verdict, rec.Reason.Code)
	r.log.Info("joined", zap.String("joined_episode", ep.ID), zap.String("joined_fingerprint", ep.Fingerprint))
	if err := r.rec.add(ctx, rec); err != nil {
		e.log.Error("joining not recorded", zap.Error(err))
	}
}

// reconsider decides all waiting cases again: a lock was freed, a pause was lifted,
// the configuration changed. Cases that are being tried again quietly keep their
// pace unless all is asked for.
func (e *Engine) reconsider(ctx context.Context, all bool) {
	for _, key := range sortedKeys(e.cases) {
		c, ok := e.cases[key]
		if !ok || (!all && e.retries[key] > 0) {
			continue
		}
		if all {
			delete(e.retries, key)
		}
		e.evaluate(ctx, c)
	}
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
