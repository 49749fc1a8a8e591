package engine

import (
	"context"
	"encoding/json"
	"slices"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// recover puts in order what a crash left (design §5, crash), takes in what was
// accepted and not yet worked on, and decides every open episode again. An intent
// without a result is never run again.
func (e *Engine) recover(ctx context.Context) {
	// What guards ask must be there before anything is decided.
	e.refileAll()
	e.findSpeakers()
	e.rebuildStorm(e.snap.Load())
	for _, rem := range e.ledger.Remediations(func(r *ledger.Remediation) bool { return r.State != ledger.Closed }) {
		e.recoverOne(ctx, rem)
	}
	for _, rem := range e.ledger.Remediations(func(r *ledger.Remediation) bool {
		return r.State == ledger.Closed && r.Effect == "" && r.HadEffect()
	}) {
		if rb := e.snap.Load().Runbooks[rem.Policy]; rb != nil && rb.Policy.On == policy.OnFiring {
			e.watchEffect(ctx, rem.ID)
		}
	}
	e.dropUpstreams(ctx)
	e.endLostRuns(ctx)
	e.intake(ctx)
	e.considerAll(ctx, func(ep ledger.Episode) bool {
		return ep.Open || len(ep.Decided) == 0 || e.resolutionPending(ep)
	})
	e.reconcile(ctx)
}

// endLostRuns ends what persons had started and nothing works for any more: it must
// not start by surprise because remediator was restarted.
func (e *Engine) endLostRuns(ctx context.Context) {
	for _, ep := range e.ledger.Episodes(true) {
		if ep.Origin == ledger.OriginRun && e.handling(caseID{ep.ID, ep.Policy}) == nil {
			e.endRun(ctx, ep.ID)
		}
	}
}

// resolutionPending: a policy on resolution has not been carried out for the episode.
func (e *Engine) resolutionPending(ep ledger.Episode) bool {
	for _, p := range e.snap.Load().Policies.Match(ep.Alert.Labels, policy.OnResolved) {
		if age := p.Settings.MaxAlertAge; age > 0 && e.now().Sub(ep.ClosedAt) > age {
			continue
		}
		done := e.ledger.Remediations(func(r *ledger.Remediation) bool {
			return r.Policy == p.Name && slices.Contains(r.Episodes, ep.ID) && (r.HadEffect() || r.Outcome == OutcomePlanned || r.Outcome == OutcomeEscalated)
		})
		if len(done) == 0 {
			return true
		}
	}
	return false
}

// recoverOne brings one unfinished remediation to an end, or back to being held.
func (e *Engine) recoverOne(ctx context.Context, rem ledger.Remediation) {
	rb := e.snap.Load().Runbooks[rem.Policy]
	r := e.rebuild(ctx, rem, rb)
	r.log.Warn("found unfinished after a restart", zap.String("state", string(rem.State)), zap.Int("intents", len(rem.Intents)))
	open, hasOpen := rem.OpenIntent()
	if hasOpen {
		e.loseResult(ctx, r, open)
	} else if open, hasOpen = rem.LostIntent(); hasOpen { // lost at an earlier start, which did not come to its end
		r.ran[open.Step] = r.ran[open.Step] || open.Phase == PhaseSteps
	}
	interrupted := &ending{outcome: OutcomeInterrupted, reason: audit.Reason{Code: "crash", Text: "remediator ended while it ran"}}
	onFailure := slices.ContainsFunc(rem.Intents, func(i ledger.Intent) bool { return i.Phase == PhaseOnFailure })
	asked := rem.Approval != nil && rem.Approval.Phase == PhaseOnFailure
	r.failed = r.failed || r.hadFailed(rem) || onFailure || asked || rem.HeldPhase == PhaseOnFailure
	switch {
	case rem.State == ledger.Held && !hasOpen:
		e.resumeRun(ctx, r, func() *ending {
			if end := r.parked(ctx); end != nil || !r.failed {
				return end
			}
			return hadFailed() // resumed: what is left is on_failure, not the steps behind what failed
		})
	case e.decidedAsking(ctx, r, rem):
	case hasOpen && onFailure:
		e.endRecovered(ctx, r, interrupted)
	case !hasOpen && r.failed && (!onFailure || asked && rem.State == ledger.AwaitingApproval):
		e.resumeRun(ctx, r, hadFailed)
	case e.recoverAsking(ctx, r, rem):
	case !rem.HadEffect():
		r.began = false
		r.close(ctx, interrupted)
	case hasOpen && r.foreign, onFailure:
		e.endRecovered(ctx, r, interrupted)
	case hasOpen && (!r.last(open.Step) || !recheckable(rb, open.Step)):
		e.endRecovered(ctx, r, interrupted)
	case hasOpen || !r.foreign && r.last(rem.Intents[len(rem.Intents)-1].Step):
		// Only verifying was left, and verifying only reads.
		e.resumeRun(ctx, r, func() *ending { return r.verifyRecovered(ctx, interrupted) })
	default:
		e.resumeRun(ctx, r, func() *ending {
			return r.hold(ctx, audit.Reason{Code: "crash", Text: "remediator ended between two effects; an operator decides whether to go on"})
		})
	}
}

// hadFailed is how a run goes on that had failed before remediator ended: with
// on_failure, never with the steps behind the failed one.
func hadFailed() *ending {
	return &ending{outcome: OutcomeFailed, reason: audit.Reason{Code: "crash", Text: "a step had failed before remediator ended"}}
}

// decidedAsking ends a run whose request was refused or had expired when remediator
// ended: a person's no must not be asked for again.
func (e *Engine) decidedAsking(ctx context.Context, r *run, rem ledger.Remediation) bool {
	a := rem.Approval
	if a == nil || rem.State != ledger.AwaitingApproval {
		return false
	}
	var end *ending
	switch a.Decided {
	case ledger.Rejected:
		end = &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "rejected", Text: "consent was refused by " + a.By + " before remediator ended"}}
	case ledger.Expired:
		end = &ending{outcome: OutcomeExpired, reason: audit.Reason{Code: "expired", Text: "consent was not given in time; remediator ended meanwhile"}}
	default:
		return false
	}
	if a.Phase == PhaseOnFailure && a.Step != nil {
		r.tried[*a.Step] = true
	}
	if _, open := rem.OpenIntent(); open {
		e.endRecovered(ctx, r, end)
		return true
	}
	if rem.HadEffect() {
		e.resumeRun(ctx, r, func() *ending { return end })
		return true
	}
	r.began = false
	r.close(ctx, end)
	if end.outcome == OutcomeExpired {
		ep, _ := r.episode()
		e.escalate(ctx, r.snap, r.book.Policy, ep, r.id, "nobody consented to remediation "+r.id+" in time; nothing was changed")
	}
	return true
}

// recoverAsking brings a request for consent back: people may be looking at it. One
// that was granted just before the end goes on, guarded and planned again.
func (e *Engine) recoverAsking(ctx context.Context, r *run, rem ledger.Remediation) bool {
	a := rem.Approval
	if a == nil || r.foreign || r.mode != r.snap.mode(r.book.Policy) {
		return false
	}
	asks, granted := rem.State == ledger.AwaitingApproval, a.Decided == ledger.Granted && e.now().Before(a.Expires)
	switch {
	case rem.HadEffect() && asks && a.Begun: // it asks anew
		e.resumeRun(ctx, r, func() *ending { return nil })
	case rem.HadEffect() || !asks && !granted:
		return false
	default:
		req := &request{hash: a.Hash, guards: a.Guards, step: a.Step, phase: a.Phase, expires: a.Expires}
		e.activate(r)
		r.began = false
		for _, g := range rem.Grants {
			r.take(&request{hash: g.Hash, guards: g.Guards, step: g.Step, phase: g.Phase}, g.By)
		}
		if granted {
			e.again(r, req, a.By)
			break
		}
		e.asksNow(r, req)
		e.reviewAsking(ctx, r)
	}
	return true
}

// rebuild makes a run out of records. Without its policy it can only be ended.
func (e *Engine) rebuild(ctx context.Context, rem ledger.Remediation, rb *Runbook) *run {
	ep, _ := e.ledger.Episode(first(rem.Episodes))
	book := rb
	if book == nil {
		book = &Runbook{Policy: &policy.Policy{Name: rem.Policy, Runbook: rem.Runbook, Severity: rem.Severity, On: policy.OnFiring}}
	}
	r := e.newRun(e.snap.Load(), book, ep, decision{possible: rem.Targets})
	r.id, r.mode, r.episodes, r.created, r.started = rem.ID, policy.Mode(rem.Mode), rem.Episodes, rem.OpenedAt, e.now()
	if len(r.episodes) == 0 {
		r.episodes = []string{""}
	}
	r.resumed, r.began = true, rem.HadEffect()
	// A policy that was changed or removed meanwhile says nothing about what this
	// remediation had begun.
	r.foreign = rb == nil || rb.Hash != rem.Book
	r.log = e.log.With(zap.String("remediation", r.id), zap.String("policy", rem.Policy), zap.String("fingerprint", ep.Fingerprint), zap.String("mode", rem.Mode))
	for _, in := range rem.Intents {
		if !in.Cancelled {
			for _, t := range in.Targets {
				r.touched[t] = true
			}
		}
	}
	err := e.journal.Scan(ctx, audit.Filter{Remediation: rem.ID}, func(s audit.Stored) error {
		r.replay(s.Record)
		return nil
	})
	if err != nil {
		r.log.Error("its records cannot be read", zap.Error(err))
	}
	return r
}

// replay restores the result of a step from its record.
func (r *run) replay(rec *audit.Record) {
	if rec.Type == audit.RemediationVerified {
		var res actions.Result
		_ = json.Unmarshal(rec.Result, &res)
		r.failed = !res.OK
		return
	}
	if rec.Step == nil {
		return
	}
	var d ledger.StepData
	_ = json.Unmarshal(rec.Data, &d)
	var res actions.Result
	switch rec.Type {
	case audit.CheckFinished, audit.StepFinished:
		_ = json.Unmarshal(rec.Result, &res)
	case audit.StepSkipped:
		res = actions.Result{Skipped: true}
		if rec.Reason != nil && d.Phase == PhaseSteps && rec.Reason.Code != "if_false" && rec.Reason.Code != "nothing_to_do" {
			r.partial = true
		}
	default:
		return
	}
	if d.Cancelled {
		return
	}
	if d.ID != "" {
		r.results[d.ID] = res
	}
	switch d.Phase {
	case PhaseSteps:
		r.ran[*rec.Step] = true
	case PhaseOnFailure:
		r.tried[*rec.Step] = true
	}
}

// loseResult records that an intent has no result and never will.
func (e *Engine) loseResult(ctx context.Context, r *run, in ledger.Intent) {
	rec := r.record(&audit.Record{
		Type: audit.StepFinished, Step: &in.Step, Uses: in.Uses, Target: in.Target,
		Error: "remediator ended before the result was recorded; whether the effect happened is unknown, and it is not repeated",
		Data:  audit.JSON(ledger.StepData{Phase: in.Phase, Effect: true, Lost: true, Code: string(actions.CodeOutcomeUnknown)}),
	})
	if err := r.rec.add(ctx, rec); err != nil {
		r.log.Error("lost result not recorded", zap.Error(err))
	}
	if in.Phase == PhaseOnFailure {
		r.tried[in.Step] = true
	} else {
		r.ran[in.Step] = true
	}
}

// hadFailed says whether an effect failed that the rest of the steps depend on.
func (r *run) hadFailed(rem ledger.Remediation) bool {
	return !r.foreign && slices.ContainsFunc(rem.Intents, func(i ledger.Intent) bool {
		return i.Phase == PhaseSteps && i.Error != "" && !i.Cancelled && !i.Lost && i.Step < len(r.book.Steps) && !r.book.Steps[i.Step].ContinueOnError
	})
}

// last says whether no effect comes after a step.
func (r *run) last(step int) bool {
	return !slices.ContainsFunc(r.book.Steps, func(s *Step) bool { return s.Index > step && s.changes() && !r.ran[s.Index] })
}

func recheckable(rb *Runbook, step int) bool {
	return step < len(rb.Steps) && rb.Steps[step].Kind.Recheckable
}

// endRecovered closes a run that was interrupted after an effect and tells people.
func (e *Engine) endRecovered(ctx context.Context, r *run, end *ending) {
	r.close(ctx, end)
	ep, _ := r.episode()
	e.tell(ctx, r.snap, r.book.Policy, ep, r.id, actions.Message{Text: "remediation " + r.id + " was interrupted after an effect: " + end.reason.Text})
}

// verifyRecovered lets the verify checks decide between succeeded and interrupted.
func (r *run) verifyRecovered(ctx context.Context, interrupted *ending) *ending {
	if len(r.book.Verify) == 0 {
		return interrupted
	}
	if end := r.verify(ctx); end != nil {
		if end.outcome == OutcomeFailed {
			interrupted.reason.Text += "; verify: " + end.reason.Text
			return interrupted
		}
		return end
	}
	return r.outcome()
}

// resumeRun gives a run its locks back and lets it go on from a point.
func (e *Engine) resumeRun(ctx context.Context, r *run, from func() *ending) {
	e.activate(r)
	e.schedOf(r).Lock(r.id, r.targets)
	r.state.Store(stateRunning)
	e.runs.Go(func() {
		end := r.guarded(from)
		if end == nil { // resumed by an operator
			end = r.through(ctx)
		} else if !r.foreign { // on_failure of a changed policy is none of its business
			failed := end
			end = r.guarded(func() *ending { return r.failing(ctx, failed) })
		}
		r.close(ctx, end)
		select {
		case e.done <- result{r, end}:
		case <-e.loopEnd:
		}
	})
}
