package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// apply carries out the steps.
func (r *run) apply(ctx context.Context) *ending {
	for _, st := range r.book.Steps {
		if r.ran[st.Index] {
			continue
		}
		if end := r.between(); end != nil {
			return end
		}
		if end := r.step(ctx, st); end != nil {
			return end
		}
	}
	if r.began {
		return nil
	}
	if len(r.refusals) > 0 { // every effect was skipped by a guard
		return withdraw(r.refusals[0])
	}
	return r.nothing()
}

// step runs one step of any class.
func (r *run) step(ctx context.Context, st *Step) *ending {
	answer, why := st.If.eval(r.scope())
	switch {
	case answer == no:
		return r.skip(ctx, st, audit.Reason{Code: "if_false", Text: why})
	case answer == yes:
	case st.Kind.Class == actions.Tells || st.Kind.Class == actions.Evidence:
	case st.changes() && !r.began:
		return withdraw(policy.Reasoned(policy.CodeUnconfirmable, fmt.Sprintf("%s: %s", st.Uses(), why)))
	default:
		r.partial = r.partial || st.changes()
		return r.skip(ctx, st, audit.Reason{Code: "unknown_input", Text: why})
	}
	switch st.Kind.Class {
	case actions.Tells:
		return r.tell(ctx, st)
	case actions.Changes:
		return r.act(ctx, st)
	default:
		if _, err := r.check(ctx, st); err != nil {
			return r.interrupted(err)
		}
		return nil
	}
}

// skip records that a step does not run.
func (r *run) skip(ctx context.Context, st *Step, why audit.Reason) *ending {
	why.Text = r.snap.RedactText(why.Text)
	r.keep(st, actions.Result{Skipped: true, Text: why.Text})
	rec := r.record(&audit.Record{
		Type: audit.StepSkipped, Step: &st.Index, Uses: st.Uses(), Reason: &why,
		Data: audit.JSON(ledger.StepData{Phase: st.Phase, ID: st.ID}),
	})
	if err := r.rec.add(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	return nil
}

// tell hands a message to people; an escalate ends the run.
func (r *run) tell(ctx context.Context, st *Step) *ending {
	m, err := st.Run.(actions.Teller).Tell(r.scope())
	if err != nil {
		m = actions.Message{Text: fmt.Sprintf("%s (the text could not be rendered: %v)", st.Uses(), err), Ends: true}
	}
	r.keep(st, actions.Result{OK: true, Text: m.Text})
	if err := r.rec.speak(ctx); err != nil {
		return r.interrupted(err)
	}
	ep, _ := r.episode()
	r.e.tell(ctx, r.snap, r.book.Policy, ep, r.id, m)
	if !m.Ends {
		return nil
	}
	return &ending{outcome: OutcomeEscalated, reason: audit.Reason{Code: "escalated", Text: m.Text}}
}

// act carries out one effect: plan, target guards, durable intent, effect, result.
func (r *run) act(ctx context.Context, st *Step) *ending {
	for {
		p, err := r.planStep(st)
		if err == nil {
			err = r.within(p)
		}
		if err != nil {
			return r.planFailed(ctx, st, err)
		}
		if len(p.Objects) == 0 {
			return r.skip(ctx, st, audit.Reason{Code: "nothing_to_do", Text: p.Text})
		}
		if ok, end := r.consentStep(ctx, st, p); end != nil {
			return end
		} else if !ok { // granted after waiting: look and plan once more
			continue
		}
		if !r.began { // confirming may have taken its time
			if end := r.stillFiring(ctx); end != nil {
				return end
			}
		}
		r.lookAnew()
		r.e.boundary("guarded")
		d, err := r.intend(ctx, st, p)
		switch {
		case err != nil: // resumed after being held: guard and intend once more
			if end := r.abandon(ctx, st, p, err); end != nil {
				return end
			}
		case d.Verdict == policy.Execute:
			return r.carryOut(ctx, st, p)
		default:
			if again, end := r.refused(ctx, st, p, d); !again {
				return end
			}
		}
	}
}

// within checks that a plan keeps to the locked targets: an alert whose labels or
// annotations changed meanwhile must not lead to another one.
func (r *run) within(p actions.Plan) error {
	for _, t := range p.Targets {
		if !slices.Contains(r.targets, t) {
			return &actions.Error{Code: actions.CodeTargetNotFound, Err: fmt.Errorf("%s is not among the targets that this remediation was decided for (%v)", t, r.targets)}
		}
	}
	return nil
}

func (r *run) planFailed(ctx context.Context, st *Step, err error) *ending {
	if !r.began {
		return r.unplannable(st, err)
	}
	if actions.CodeOf(err) == actions.CodeUnknownInput {
		r.partial = true
		return r.skip(ctx, st, audit.Reason{Code: "unknown_input", Text: err.Error()})
	}
	if end := r.stopped(); end != nil {
		return end
	}
	return r.stepFailed(st, err)
}

func (r *run) stepFailed(st *Step, err error) *ending {
	if st.ContinueOnError {
		r.keep(st, actions.Result{Text: err.Error()})
		return nil
	}
	return &ending{outcome: OutcomeFailed, err: err.Error(), reason: audit.Reason{
		Code: string(actions.CodeOf(err)), Text: fmt.Sprintf("step %d %s failed", st.Index, st.Uses()),
	}}
}

// intend asks the target guards and, when they allow it, makes the intent durable.
// Both are one step under a lock, so that two remediations never take the same
// last place of a limit.
// An error means that it is not known to be durable: it must be abandoned.
func (r *run) intend(ctx context.Context, st *Step, p actions.Plan) (policy.Decision, error) {
	r.e.intents <- struct{}{}
	defer func() { <-r.e.intents }()
	d := r.guardEffect(st, p)
	if d.Verdict != policy.Execute {
		return d, nil
	}
	rec := r.record(&audit.Record{
		Type: audit.StepStarted, Step: &st.Index, Uses: st.Uses(), Target: first(p.Targets), Targets: p.Targets,
		Plan: audit.JSON(r.snap.RedactPlan(p)), PlanHash: actions.Hash([]actions.Plan{p}), Guards: Guards(d),
		Data: audit.JSON(ledger.StepData{Phase: st.Phase, ID: st.ID, Effect: true}),
	})
	budget, cancel := context.WithTimeout(ctx, IntentBudget)
	defer cancel()
	if err := r.rec.speak(budget, rec); err != nil {
		return d, err
	}
	// The store may have taken its time, and a pause, a resolution or a reload may
	// have come meanwhile: what is recorded before the effect counts.
	if d = r.guardEffect(st, p); d.Verdict != policy.Execute {
		return d, r.rec.add(ctx, r.cancelled(st, p, "refused after all: "+d.Text))
	}
	r.began = true
	return d, nil
}

// abandon gives up an intent that did not become durable in time. It may have
// become so after all: that it was cancelled is recorded before the target is
// released, however long that takes.
func (r *run) abandon(ctx context.Context, st *Step, p actions.Plan, cause error) *ending {
	r.log.Error("the intent is not durable; the effect is abandoned", zap.Int("step", st.Index), zap.Error(cause))
	rec := r.cancelled(st, p, "the intent was not durable in "+IntentBudget.String()+"; nothing was changed")
	if err := r.rec.speak(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	reason := audit.Reason{Code: "store", Text: "the audit store was too slow or away; nothing was changed"}
	if r.began {
		return r.hold(ctx, reason)
	}
	return &ending{outcome: OutcomeCancelled, reason: reason, err: cause.Error()}
}

// selfBudget bounds learning which target is remediator itself.
const selfBudget = 3 * time.Second

// cancelled is the result of an intent whose effect never began.
func (r *run) cancelled(st *Step, p actions.Plan, why string) *audit.Record {
	return r.record(&audit.Record{
		Type: audit.StepFinished, Step: &st.Index, Uses: st.Uses(), Target: first(p.Targets), Targets: p.Targets, Error: why,
		Data: audit.JSON(ledger.StepData{Phase: st.Phase, ID: st.ID, Cancelled: true}),
	})
}

// guardEffect asks the guards for one effect's target. Pause, mode, guardrails and
// upstreams come from the newest configuration, the rest from the one the run was
// started with.
func (r *run) guardEffect(st *Step, p actions.Plan) policy.Decision {
	newest := r.e.snap.Load()
	ask, cancel := context.WithTimeout(r.reads(), selfBudget)
	defer cancel()
	if err := newest.Self.Learn(ask); err != nil {
		d := policy.Reasoned(policy.CodeSelf, fmt.Sprintf("whether the target is remediator itself is not known: %v", err))
		d.Guard = policy.Self{}.Name()
		return d
	}
	in := r.inputFor(newest, p.Targets, st.effects(p.Targets))
	if in == nil {
		return policy.Reasoned(policy.CodePaused, "remediator is stopping")
	}
	if !r.began {
		return policy.DecideEffect(in)
	}
	if d := policy.DecideHold(in); d.Verdict != policy.Execute {
		return d
	}
	untouched := slices.DeleteFunc(slices.Clone(p.Targets), func(t string) bool { return r.touched[t] })
	return policy.DecideAfterFirst(in, untouched)
}

// inputFor gathers in the loop what guards of the run's effects may depend on; nil
// when the loop has ended.
func (r *run) inputFor(newest *Snapshot, targets []string, effects []policy.Effect) *policy.Input {
	mode := newest.mode(r.book.Policy)
	if rb := newest.Runbooks[r.book.Policy.Name]; rb != nil {
		mode = newest.mode(rb.Policy)
	}
	q := question{
		snap: newest, rb: r.book, self: r.id, mode: r.mode, started: r.mode,
		targets: targets, possible: r.targets, effects: effects, approved: r.approved(), world: r.world,
	}
	var in *policy.Input
	gather := func() {
		r.e.ledger.Clock(r.e.now())
		if r.e.reads != nil { // a resolution that is durable counts, also before it was taken in
			r.e.intake(context.WithoutCancel(r.reads()))
		}
		q.ep, _ = r.episode()
		in = r.e.input(q)
		in.Mode = mode
	}
	if r.e.reads == nil { // plan, without a daemon
		gather()
	} else if err := r.e.do(context.WithoutCancel(r.reads()), gather); err != nil {
		return nil
	}
	return in
}

// refused does what follows when a guard refuses an effect. again: plan and ask anew.
func (r *run) refused(ctx context.Context, st *Step, p actions.Plan, d policy.Decision) (again bool, end *ending) {
	r.log.Warn("effect refused", zap.Int("step", st.Index), zap.String("guard", d.Guard), zap.String("reason", d.Text))
	if st.Phase == PhaseOnFailure {
		return false, r.skip(ctx, st, audit.Reason{Code: string(d.Code), Text: d.Text})
	}
	holds := d.Guard == (policy.Paused{}).Name() || d.Guard == (policy.ModeMark{}).Name()
	if holds && !r.began && st.OnRefused == RefusedSkip {
		// A pause of the step's target alone concerns that step alone.
		_, wide := r.e.ledger.View(string(r.mode)).Paused(r.e.now(), r.book.Policy.Name, nil)
		holds = wide || d.Guard == (policy.ModeMark{}).Name()
	}
	asks := decision{Decision: d}.asks()
	switch {
	case r.began && (holds || st.OnRefused == RefusedEnd || st.OnRefused == "" || d.Verdict == policy.AwaitApproval && st.OnRefused == RefusedWait):
		if d.Verdict != policy.AwaitApproval {
			asks = nil // to resume is no consent to what stands in the way besides
		}
		end := r.hold(ctx, audit.Reason{Code: string(d.Code), Text: d.Text}, asks...)
		return end == nil, end
	case !r.began && d.Verdict == policy.AwaitApproval && st.OnRefused != RefusedSkip:
		return false, r.ask(ctx, nil, hashPlans(r.plans), asks)
	case r.began && st.OnRefused == RefusedWait:
		end := r.waitFor(ctx, d)
		return end == nil, end
	case !r.began && (holds || st.OnRefused != RefusedSkip):
		// Waiting before the first effect holds nothing: the case is decided again
		// when the guard lifts.
		return false, withdraw(d)
	}
	r.partial = true
	r.refusals = append(r.refusals, d)
	for _, t := range p.Targets {
		r.skipped[t] = true
	}
	return false, r.skip(ctx, st, audit.Reason{Code: string(d.Code), Text: d.Text})
}

// carryOut has the effect and records its result. Until the result is durable the
// run keeps its targets.
func (r *run) carryOut(ctx context.Context, st *Step, p actions.Plan) *ending {
	for _, t := range p.Targets {
		r.touched[t] = true
	}
	delete(r.stepGrants, st.key()) // consent is for one effect
	r.log.Info("acting", zap.Int("step", st.Index), zap.String("uses", st.Uses()), zap.Strings("targets", p.Targets), zap.String("plan", r.snap.RedactText(p.Text)))
	r.e.boundary("intended")
	start := r.e.now()
	res, trace, err := r.effect(ctx, st, p)
	took := r.e.now().Sub(start)
	r.e.boundary("applied")
	res = r.snap.Redact(res)
	rec := &audit.Record{
		Type: audit.StepFinished, Step: &st.Index, Uses: st.Uses(), Target: first(p.Targets), Targets: p.Targets,
		Result: audit.JSON(res), DurationMS: took.Milliseconds(),
	}
	data := ledger.StepData{Phase: st.Phase, ID: st.ID, Effect: true}
	outcome := "ok"
	if err != nil {
		err = redacted{err, r.snap.RedactText(err.Error())}
		outcome, rec.Error, data.Code = "failed", r.snap.RedactText(err.Error()), string(actions.CodeOf(err))
		res.OK = false
		rec.Result = audit.JSON(res)
		if trace != "" {
			res.Outputs = map[string]any{"trace": trace}
			rec.Result = audit.JSON(res)
		}
	}
	rec.Data = audit.JSON(data)
	r.keep(st, res)
	r.e.metrics.Step(st.Uses(), outcome, took)
	r.log.Info("acted", zap.Int("step", st.Index), zap.String("uses", st.Uses()), zap.String("result", outcome), zap.String("text", res.Text), zap.Duration("took", took), zap.Error(err))
	if werr := r.rec.add(ctx, r.record(rec)); werr != nil {
		return r.interrupted(errors.Join(err, werr))
	}
	r.e.boundary("finished")
	if err != nil {
		return r.stepFailed(st, err)
	}
	return nil
}

// effect calls Apply. The call is not cut off by a stop of the daemon: engines that
// lose their client in the middle of a restart leave containers stopped.
func (r *run) effect(ctx context.Context, st *Step, p actions.Plan) (res actions.Result, trace string, err error) {
	defer func() {
		if v := recover(); v != nil {
			trace = string(debug.Stack())
			err = &actions.Error{Code: actions.CodeOutcomeUnknown, Err: fmt.Errorf("%s: panic: %v", st.Uses(), v)}
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), st.timeout())
	defer cancel()
	hands := r.snap.Hands
	if r.resumed { // found under a configuration in dry run, perhaps, and resumed under a live one
		hands = r.e.snap.Load().Hands
	}
	res, err = st.Run.(actions.Action).Apply(ctx, r.scope(), p, hands)
	return res, "", err
}
