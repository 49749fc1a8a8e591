package engine

import (
	"context"
	"fmt"

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
	if r.rec.discard || r.mode == policy.DryRun {
		if end := r.foresight(); end != nil {
			return end
		}
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

// foresight asks the target guards for every planned effect, as live would right
// before its intent: a dry run says what live would say.
func (r *run) foresight() *ending {
	for _, p := range r.plans {
		if p.Plan == nil || r.book.Steps[p.Step].OnRefused == RefusedSkip {
			continue
		}
		if d := r.guardEffect(*p.Plan); d.Verdict != policy.Execute {
			return withdraw(d)
		}
	}
	return nil
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
			Step: st.Index, ID: st.ID, Uses: st.Uses(), Targets: t.Names, Conditional: true,
			Text: "depends on steps that run after the first effect",
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
	r.plans = append(r.plans, PlanStep{Step: st.Index, ID: st.ID, Uses: st.Uses(), Targets: p.Targets, Plan: &p, Text: p.Text})
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
	default:
		return &ending{outcome: OutcomeFailed, err: text, reason: audit.Reason{Code: string(actions.CodeOf(err)), Text: "the first effect could not be planned; nothing was changed"}}
	}
}
