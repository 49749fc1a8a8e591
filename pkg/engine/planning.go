package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// PlanStep is one line of a remediation's plan.
type PlanStep struct {
	Step    int           `json:"step"`
	ID      string        `json:"id,omitempty"`
	Uses    string        `json:"uses"`
	Targets []string      `json:"targets,omitempty"`
	Plan    *actions.Plan `json:"plan,omitempty"`
	// Conditional: whether it runs, or on what, depends on a result of a step
	// after the first effect. Targets are then all it may touch.
	Conditional bool   `json:"conditional,omitempty"`
	Text        string `json:"text"`
	// Approval: the step asks a person for consent of its own.
	Approval bool `json:"approval,omitempty"`
	// Refused is why it would be skipped (on_refused: skip).
	Refused *audit.Reason `json:"refused,omitempty"`

	exact bool // Targets are what it will touch, if it runs
}

// plan runs the checks before the first effect, plans the effects whose inputs are
// then known and lists later ones as conditional. It only reads. In dry run the
// remediation ends here; that is the only difference between the modes up to the
// first effect.
func (r *run) plan(ctx context.Context) *ending {
	if r.resumed {
		return nil
	}
	if end := r.walk(ctx); end != nil {
		return end
	}
	if end := r.foresight(); end != nil {
		return end
	}
	if r.rec.discard {
		return r.planned()
	}
	for _, p := range r.plans {
		if p.Plan == nil {
			continue
		}
		step := p.Step
		err := r.rec.add(ctx, r.record(&audit.Record{
			Type: audit.StepPlanned, Step: &step, Uses: p.Uses, Target: first(p.Targets), Targets: p.Targets,
			Plan: audit.JSON(r.snap.RedactPlan(*p.Plan)), PlanHash: actions.Hash([]actions.Plan{*p.Plan}),
			Data: audit.JSON(ledger.StepData{Phase: PhaseSteps, ID: p.ID}),
		}))
		if err != nil {
			return r.interrupted(err)
		}
	}
	if r.mode == policy.DryRun {
		return r.planned()
	}
	return nil
}

// foresight asks the guards for what was planned, before the first effect. The
// guardrails of all that will run are asked in any mode, a pending `if` counting as
// running, so that nothing is left half done. In dry run, and for a plan, the target
// guards of every planned effect are asked too, as live would right before its
// intent: a dry run says what live would say, and which steps would be skipped.
func (r *run) foresight() *ending {
	r.lookAnew()
	if end := r.guardrails(); end != nil {
		return end
	}
	if !r.rec.discard && r.mode != policy.DryRun {
		return nil
	}
	refused, effects := 0, 0
	var why policy.Decision
	for i := range r.plans {
		p := &r.plans[i]
		if p.Plan == nil {
			continue
		}
		effects++
		st := r.stepOf(p.Step)
		d := r.guardEffect(st, *p.Plan)
		switch {
		case d.Verdict == policy.Execute, d.Verdict == policy.AwaitApproval && st.OnRefused != RefusedSkip:
		case st.OnRefused != RefusedSkip:
			return withdraw(d)
		default:
			p.Refused = &audit.Reason{Code: string(d.Code), Text: d.Text}
			if refused++; refused == 1 {
				why = d
			}
		}
	}
	if effects > 0 && refused == effects && !slices.ContainsFunc(r.plans, func(p PlanStep) bool { return p.Conditional }) {
		return withdraw(why) // nothing would be left to do
	}
	return nil
}

// guardrails asks those of all steps that will run and are not skipped when refused.
func (r *run) guardrails() *ending {
	newest := r.e.snap.Load()
	var effects []policy.Effect
	for _, p := range r.plans {
		st := r.stepOf(p.Step)
		if st.changes() && st.OnRefused != RefusedSkip && (p.Plan != nil || p.exact) {
			effects = append(effects, st.effects(p.Targets)...)
		}
	}
	if len(effects) == 0 || len(newest.Guardrails) == 0 {
		return nil
	}
	in := r.inputFor(newest, r.targets, effects)
	if in == nil {
		return r.stopped()
	}
	if d := policy.DecideGuardrails(in); d.Verdict != policy.Execute && d.Verdict != policy.AwaitApproval {
		return withdraw(d)
	} else if d.Verdict == policy.AwaitApproval {
		r.asks = union(r.asks, decision{Decision: d}.asks())
	}
	return nil
}

// stepOf finds a step by its index.
func (r *run) stepOf(index int) *Step {
	for _, st := range r.book.Steps {
		if st.Index == index {
			return st
		}
	}
	return &Step{Index: index}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// planned ends a dry run: with what would have been done, or with nothing to do.
func (r *run) planned() *ending {
	if len(r.plans) == 0 {
		return r.nothing()
	}
	return &ending{outcome: OutcomePlanned, reason: audit.Reason{Code: "dry_run", Text: fmt.Sprintf("dry run: %d steps would have run; nothing was changed", len(r.plans))}}
}

// nothing ends a run in which nothing needed doing.
func (r *run) nothing() *ending {
	return withdraw(policy.Reasoned(policy.CodeNotConfirmed, "nothing needed doing: no step had anything to change"))
}

// walk goes through the steps without touching anything.
func (r *run) walk(ctx context.Context) *ending {
	r.plans = nil
	effects := false
	for _, st := range r.book.Steps {
		if end := r.between(); end != nil {
			return end
		}
		var end *ending
		var over bool
		switch st.Kind.Class {
		case actions.Changes:
			end = r.foresee(st, &effects)
		case actions.Tells:
			over = r.foretell(st)
		default:
			end = r.walkCheck(ctx, st, effects)
		}
		if end != nil || over {
			return end
		}
	}
	return nil
}

// walkCheck runs a check or gathers evidence, as long as no effect comes before it.
func (r *run) walkCheck(ctx context.Context, st *Step, effects bool) *ending {
	if effects || r.ran[st.Index] {
		return nil
	}
	answer, _ := st.If.eval(r.scope())
	if answer == no {
		return nil
	}
	if answer == unknown && st.Kind.Class != actions.Evidence {
		r.keep(st, actions.Result{Unknown: true, Text: "its `if` reads a step that is unknown"})
		return nil
	}
	if _, err := r.check(ctx, st); err != nil {
		return r.interrupted(err)
	}
	return nil
}

// foretell plans a step that tells people; it says whether the run would end there.
func (r *run) foretell(st *Step) (over bool) {
	answer, _ := st.If.eval(r.scope())
	if answer == no {
		return false
	}
	text := "tell people"
	if m, err := st.Run.(actions.Teller).Tell(r.scope()); err == nil {
		text = "tell people: " + m.Text
		over = m.Ends && answer != pending
	}
	r.plans = append(r.plans, PlanStep{Step: st.Index, ID: st.ID, Uses: st.Uses(), Text: text, Conditional: answer == pending})
	return over
}

// foresee plans one effect, or lists it as conditional.
func (r *run) foresee(st *Step, effects *bool) *ending {
	answer, why := st.If.eval(r.scope())
	switch answer {
	case no:
		return nil
	case unknown:
		return withdraw(policy.Reasoned(policy.CodeUnconfirmable, fmt.Sprintf("%s: %s", st.Uses(), why)))
	case pending, yes:
	}
	if answer == pending || r.waitsFor(st) {
		t, err := st.Run.Targets(r.scope())
		if err != nil {
			return r.unplannable(st, err)
		}
		*effects = true
		r.plans = append(r.plans, PlanStep{
			Step: st.Index, ID: st.ID, Uses: st.Uses(), Targets: t.Names, Conditional: true, exact: t.Exact,
			Text: "depends on steps that run after the first effect", Approval: st.Approval.Required,
		})
		return nil
	}
	p, err := r.planStep(st)
	if err == nil {
		err = r.within(p)
	}
	if err != nil {
		if *effects && actions.CodeOf(err) == actions.CodeTargetNotFound {
			// A service that is missing now may be there once the first effect is done.
			r.plans = append(r.plans, PlanStep{Step: st.Index, ID: st.ID, Uses: st.Uses(), Conditional: true, Text: err.Error()})
			return nil
		}
		return r.unplannable(st, err)
	}
	if len(p.Objects) == 0 && !*effects {
		return nil // nothing to do for this step
	}
	*effects = true
	r.plans = append(r.plans, PlanStep{Step: st.Index, ID: st.ID, Uses: st.Uses(), Targets: p.Targets, Plan: &p, Text: p.Text, Approval: st.Approval.Required, exact: true})
	return nil
}

// waitsFor says whether a template of the step reads a step that has not run.
func (r *run) waitsFor(st *Step) bool {
	for _, id := range st.Run.Needs() {
		if _, ok := r.results[id]; !ok {
			return true
		}
	}
	return false
}

func (r *run) planStep(st *Step) (p actions.Plan, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s: panic while planning: %v", st.Uses(), v)
		}
	}()
	ctx, cancel := context.WithTimeout(r.reads(), st.timeout())
	defer cancel()
	return st.Run.(actions.Action).Plan(ctx, r.scope())
}

// unplannable ends a run whose effect cannot be planned, before its first effect.
func (r *run) unplannable(st *Step, err error) *ending {
	if end := r.stopped(); end != nil {
		return end
	}
	text := fmt.Sprintf("%s: %v", st.Uses(), err)
	switch actions.CodeOf(err) {
	case actions.CodeTargetNotFound, actions.CodeNotDeclared:
		return withdraw(policy.Reasoned(policy.CodeTargetNotFound, text))
	case actions.CodeUnknownInput:
		return withdraw(policy.Reasoned(policy.CodeUnconfirmable, text))
	case actions.CodeStopped: // paused, for instance: somebody wants it so
		return withdraw(policy.Reasoned(policy.CodeStoppedByPerson, text))
	default:
		return &ending{outcome: OutcomeFailed, err: text, reason: audit.Reason{Code: string(actions.CodeOf(err)), Text: "the first effect could not be planned; nothing was changed"}}
	}
}
