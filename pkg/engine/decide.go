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
	"github.com/stellarescrow/remediator/pkg/services"
)

// caseID is one episode under one policy: what is decided.
type caseID struct{ episode, policy string }

func (c caseID) key() string { return prefixCase + c.episode + "|" + c.policy }

// decision is a verdict with the targets it was made for.
type decision struct {
	policy.Decision
	possible []string      // all that may be touched: what is locked
	also     []policy.Code // what else it waits for, where one of several would do
}

func (d decision) allowed() bool { return d.Verdict == policy.Execute }

// starts says whether work begins: at once, or with looking and asking a person.
func (d decision) starts() bool { return d.allowed() || d.Verdict == policy.AwaitApproval }

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

func unique(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }

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
	e.refile(ep)
	if ep.Origin == ledger.OriginRun { // decided when the person asked; what was refused has ended
		if ep.Open && e.handling(caseID{ep.ID, ep.Policy}) == nil {
			e.endRun(ctx, ep.ID)
		}
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

// evaluate decides one case and does what follows from the verdict. It gives the
// decision, and false where there was none to make.
func (e *Engine) evaluate(ctx context.Context, c caseID) (decision, bool) {
	key := c.key()
	e.timers.Delete(key)
	snap := e.snap.Load()
	rb := snap.Runbooks[c.policy]
	ep, ok := e.ledger.Episode(c.episode)
	if rb == nil || !ok || e.isStopping() || !e.leadsTo(snap, rb.Policy, ep) {
		e.forget(key)
		return decision{}, false
	}
	if r := e.handling(c); r != nil {
		return decision{}, false // it is decided again when that remediation closes
	}
	e.file(c)
	waited := e.waits.drop(key)
	defer func() { e.waits.lifted(waited) }()
	d := e.decide(snap, rb, ep, "", nil)
	switch {
	case d.starts():
		e.enqueue(ctx, snap, rb, ep, d)
	case d.Code == policy.CodeJoined:
		e.join(ctx, snap, rb, ep, d)
	default:
		e.wait(ctx, snap, rb, ep, d)
	}
	return d, true
}

// leadsTo says whether an episode still leads to a policy: a reload may have changed
// what it matches. A policy on resolution wants to be told of it by Alertmanager;
// absence from its API is only suspicion.
func (e *Engine) leadsTo(snap *Snapshot, p *policy.Policy, ep ledger.Episode) bool {
	if ownAlert(ep.Alert) {
		return false
	}
	if ep.Origin == ledger.OriginRun {
		return ep.Open && ep.Policy == p.Name
	}
	if p.On == policy.OnResolved && !ep.Open && ep.Cause != ledger.CauseWebhook && ep.Cause != ledger.CauseUpstream {
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
	e.awaitLift(ctx, snap, rb, ep, d)
	switch {
	case !d.Until.IsZero() || !d.TellAt.IsZero():
	case d.Code == policy.CodeTargetNotFound:
		e.timers.Set(key, e.now().Add(e.backoff(key)))
	case d.Code == policy.CodeAttempts:
		if final, ok := e.ledger.View(string(snap.mode(rb.Policy))).Final(rb.Policy.Name, ep.ID); ok && final.Outcome == OutcomeCancelled {
			break // a person said no: they know
		}
		e.escalate(ctx, snap, rb.Policy, ep, "", "no attempt is left and the alert still fires: "+d.Text)
	}
}

// awaitLift files a refused case under what lifts it: a time, an event, or both.
// People are told where the guard says that it has lasted too long.
func (e *Engine) awaitLift(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) {
	key := caseID{ep.ID, rb.Policy.Name}.key()
	if d.Verdict == policy.Ignore && d.Until.IsZero() {
		return
	}
	e.waits.add(key, append([]policy.Code{d.Code}, d.also...)...)
	e.lasts(d.Code)
	at := d.Until
	if !d.TellAt.IsZero() {
		if !d.TellAt.After(e.now()) {
			e.escalate(ctx, snap, rb.Policy, ep, "", "not acted upon for too long: "+d.Text)
		} else if at.IsZero() || d.TellAt.Before(at) {
			at = d.TellAt
		}
	}
	if !at.IsZero() {
		e.timers.Set(key, at)
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
	key := ep.ID + "|" + name
	last, ok := ep.Decided[name]
	if e.batch != nil && e.batch.has(key) { // it knows better what was decided last
		ok = false
	}
	if ok && remediation == "" && last.Verdict == string(d.Verdict) && last.Code == string(d.Code) && last.Mode == string(mode) {
		return
	}
	r := e.decidedRecord(snap, p, ep, d, remediation)
	if e.batch != nil && remediation == "" && e.batch.repeats(key, r) {
		return
	}
	e.log.Info("decided", zap.String("verdict", r.Verdict), zap.String("reason", r.Reason.Code), zap.String("text", r.Reason.Text),
		zap.String("policy", name), zap.String("episode", ep.ID), zap.String("fingerprint", ep.Fingerprint),
		zap.String("remediation", remediation), zap.String("mode", r.Mode))
	e.metrics.Decided(name, r.Verdict, r.Reason.Code)
	if e.batch != nil && remediation == "" {
		e.batch.add(key, r)
		return
	}
	e.flush(ctx)
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
	switch rb := bookOf(snap, p); {
	case rb != nil && d.starts() && remediation != "":
		r.Data = audit.JSON(ledger.DecidedData{Book: rb.Hash})
	case d.Code == policy.CodeStoppedByPerson:
		r.Data = audit.JSON(ledger.DecidedData{Stops: stopsOf(snap, d.possible)})
	}
	return e.stamp(r, p, snap)
}

// stopsOf are the stops by a kill that a decision found, for the day when Docker's
// events are long gone.
func stopsOf(snap *Snapshot, targets []string) []ledger.StopSeen {
	if snap.World == nil {
		return nil
	}
	var out []ledger.StopSeen
	world := snap.World.World()
	for _, t := range targets {
		for _, s := range world.Get(t).Stops {
			if s.Cause == services.ByKill {
				out = append(out, ledger.StopSeen{Target: t, Container: s.Container, At: s.At})
			}
		}
	}
	return out
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
	r.asks = d.asks()
	r.rec.quiet = quiet
	r.before = e.ended[key].failure
	e.flush(ctx)
	e.activate(r)
	if !quiet {
		e.record(ctx, snap, rb.Policy, ep, d, r.id)
	} else {
		_ = r.rec.add(ctx, e.decidedRecord(snap, rb.Policy, ep, d, r.id))
	}
	e.queue(r)
	e.boundary("decided")
}

// queue lets a run wait for its targets and a slot, by severity, then age.
func (e *Engine) queue(r *run) {
	ep, _ := e.ledger.Episode(first(r.joined()))
	e.schedOf(r).Enqueue(dispatch.Job{
		ID: r.id, Rank: policy.SeverityRank(r.book.Policy.Severity), Since: ep.Alert.StartsAt, Targets: r.targets,
	})
}

// join adds an episode to a remediation of the same policy and targets.
func (e *Engine) join(ctx context.Context, snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) {
	r := e.active[d.Join]
	if r == nil {
		return
	}
	e.flush(ctx)
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
	e.batched(ctx, func() { e.reconsiderEach(ctx, all) })
}

func (e *Engine) reconsiderEach(ctx context.Context, all bool) {
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
