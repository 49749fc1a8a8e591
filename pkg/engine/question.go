package engine

import (
	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

// reach is what a runbook may do, as far as it is known before anything has run.
type reach struct {
	sure     []string        // targets of unconditional steps that must not be refused
	effects  []policy.Effect // theirs
	optional []policy.Effect // of unconditional steps that are skipped when refused
	possible []string        // all that any step may touch: what is locked
	required bool            // some step that changes something is not skipped when refused
}

// reachOf finds out what a runbook may do for an episode.
func reachOf(rb *Runbook, s actions.Scope) (reach, error) {
	var out reach
	for _, list := range [][]*Step{rb.Steps, rb.OnFailure} {
		for _, st := range list {
			if !st.changes() {
				continue
			}
			t, err := st.Run.Targets(s)
			if err != nil {
				return reach{}, err
			}
			out.possible = append(out.possible, t.Names...)
			if st.Phase != PhaseSteps {
				continue
			}
			out.required = out.required || st.OnRefused != RefusedSkip
			switch {
			case st.If != nil || !t.Exact:
			case st.OnRefused == RefusedSkip:
				out.optional = append(out.optional, st.effects(t.Names)...)
			default:
				out.sure = append(out.sure, t.Names...)
				out.effects = append(out.effects, st.effects(t.Names)...)
			}
		}
	}
	out.sure, out.possible = unique(out.sure), unique(out.possible)
	return out, nil
}

// effects of a step on targets, as guards see them.
func (s *Step) effects(targets []string) []policy.Effect {
	starter, _ := s.Run.(actions.Starter)
	out := make([]policy.Effect, 0, len(targets))
	for _, t := range targets {
		out = append(out, policy.Effect{Uses: s.Uses(), Target: t, StartsStopped: starter != nil && starter.StartsStopped()})
	}
	return out
}

// question is what guards are asked about.
type question struct {
	snap     *Snapshot
	rb       *Runbook
	ep       ledger.Episode
	self     string // the remediation that asks, "" before there is one
	mode     policy.Mode
	started  policy.Mode // in which the remediation was started, "" before there is one
	targets  []string
	possible []string
	effects  []policy.Effect
	approved map[string]string
	world    services.World // looked at for this question; the newer one counts
}

// decide asks all guards about an episode under a runbook. self is the remediation
// that asks, "" when there is none yet; approved are the guards that a person's
// consent to it satisfied.
func (e *Engine) decide(snap *Snapshot, rb *Runbook, ep ledger.Episode, self string, approved map[string]string) decision {
	now := e.now()
	e.ledger.Clock(now)
	var d decision
	can, err := reachOf(rb, scope(rb, ep, self, now))
	q := question{snap: snap, rb: rb, ep: ep, self: self, mode: snap.mode(rb.Policy), approved: approved}
	if err == nil {
		d.possible = can.possible
		q.targets, q.possible, q.effects = can.sure, can.possible, can.effects
		d.Decision = policy.Decide(e.input(q))
		if !can.required && len(can.optional) > 0 && d.allowed() {
			d.Decision, d.also = e.decideOptional(q, can.optional)
		}
		return d
	}
	// Guards that look at no target still say what stands in the way.
	d.Decision = policy.Decide(e.input(q))
	if d.allowed() {
		answers := d.Answers
		d.Decision = policy.Reasoned(policy.CodeTargetNotFound, err.Error())
		d.Answers = answers
	}
	return d
}

// decideOptional decides where every step is skipped when it is refused: there is
// something to do as long as one of them is allowed. It waits for whichever lifts first.
func (e *Engine) decideOptional(q question, optional []policy.Effect) (policy.Decision, []policy.Code) {
	var first policy.Decision
	var also []policy.Code
	for i, o := range optional {
		q.targets, q.effects = []string{o.Target}, []policy.Effect{o}
		d := policy.Decide(e.input(q))
		if d.Verdict == policy.Execute {
			return d, nil
		}
		if i == 0 {
			first = d
		}
		also = append(also, d.Code)
		if !d.Until.IsZero() && (first.Until.IsZero() || d.Until.Before(first.Until)) {
			first.Until = d.Until
		}
	}
	return first, also
}

// input gathers what guards may depend on. Only the loop calls it.
func (e *Engine) input(q question) *policy.Input {
	now := e.now()
	in := &policy.Input{
		Now: now, Mode: q.mode, StartedMode: q.started, Policy: q.rb.Policy, Episode: q.ep,
		Targets: q.targets, Possible: q.possible, Effects: q.effects,
		History: e.ledger.View(string(q.mode)), Remediation: q.self, Active: e.activeList(q.ep.ID),
		Busy: e.busy(q.mode), SelfTargets: q.snap.Self.Targets(), GlobalLimits: q.snap.GlobalLimits,
		Guardrails: q.snap.Guardrails, Handled: e.about.others(e.ledger, q.ep.ID),
		Flap: q.snap.Flap, MaxUnhealthy: q.snap.MaxUnhealthy, Approved: q.approved,
	}
	in.StormUntil, in.StormText = e.storm.state(now)
	if q.snap.World != nil {
		in.World = q.snap.World.World()
		if q.world.At().After(in.World.At()) {
			in.World = q.world
		}
	}
	if q.snap.Upstreams != nil {
		in.Upstreams = q.snap.Upstreams.Upstreams()
	}
	return in
}

// decideFor asks again for a remediation that is about to start.
func (e *Engine) decideFor(r *run) decision {
	ep, _ := r.episode()
	return e.decide(r.snap, r.book, ep, r.id, r.approved())
}
