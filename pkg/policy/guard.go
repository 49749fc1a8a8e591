package policy

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/services"
)

// Guard is one reason not to act. A guard is a file here, its test, its page
// under docs/guards and its line in Guards.
type Guard interface {
	// Name as in records, metrics and docs: "cooldown".
	Name() string
	// Evaluate answers for the input; it must not depend on other guards.
	Evaluate(in *Input) Answer
}

// Guards in the order of design §5: cheapest and most absolute first. All are
// evaluated and recorded; the first refusal is the reason.
var Guards = []Guard{
	Paused{},
	Self{},
	ModeMark{},
	ResolvedAlert{},
	Duplicate{},
	Stale{},
	For{},
	TimeInterval{},
	PolicySuppressWhile{},
	Guardrails{},
	Dependency{},
	Quarantine{},
	HumanOverride{},
	TargetBusy{},
	Settle{},
	Cooldown{},
	Attempts{},
	Limits{},
	Flapping{},
	BreakerOpen{},
	BlastRadius{},
	StormBrake{},
	PolicyApproval{},
}

// EffectGuards are asked again for an effect's resolved target right before its
// intent: all whose answer may have changed since the decision and that concern the
// policy or the target. After the remediation's first effect only AlwaysAfterFirst
// and UntouchedAfterFirst are.
var EffectGuards = []Guard{
	Paused{},
	Self{},
	ModeMark{},
	ResolvedAlert{},
	TimeInterval{},
	PolicySuppressWhile{},
	Guardrails{},
	Dependency{},
	Quarantine{},
	HumanOverride{},
	Settle{},
	Cooldown{},
	Limits{},
	PolicyApproval{},
}

// Holding guards stop the next effect of a remediation that has begun by holding
// it, whatever the step's on_refused says.
var Holding = []Guard{Paused{}, ModeMark{}}

// AlwaysAfterFirst are the guards that follow on_refused after the first effect, for
// every target, also one that the remediation has touched: what they look at is not
// of its own making.
var AlwaysAfterFirst = []Guard{Self{}, Guardrails{}, Dependency{}, Quarantine{}, HumanOverride{}}

// UntouchedAfterFirst are those that follow on_refused after the first effect for
// targets that the remediation has not touched yet: a second effect on a target
// belongs to the first.
var UntouchedAfterFirst = []Guard{Settle{}, Cooldown{}, Limits{}}

// Active is a remediation that is queued, running or held.
type Active struct {
	Remediation string
	Policy      string
	Mode        Mode
	Targets     []string
	Episodes    []string
	// Asking: it waits for a person's consent before its first effect and holds
	// nothing meanwhile.
	Asking bool
}

// Effect is one change that is to be made, as far as it is known.
type Effect struct {
	Uses   string // kind: docker.restart
	Target string
	// StartsStopped: the step says what to do with a stopped container
	// (`when_stopped: start`).
	StartsStopped bool
}

// Input is everything a decision may depend on.
type Input struct {
	Now     time.Time
	Mode    Mode // effective: the stricter of the daemon's and the policy's
	Policy  *Policy
	Episode ledger.Episode
	// Targets known now: those of unconditional steps at the decision, the
	// resolved one before an effect.
	Targets []string
	// Possible are all targets that the remediation may touch: what it locks.
	Possible []string
	History  ledger.View
	// Remediation that asks, "" before there is one: its own effects never count.
	Remediation string
	Active      []Active
	// Busy maps a locked target to the remediation that holds it.
	Busy map[string]string
	// SelfTargets are remediator's own container and store.
	SelfTargets map[string]bool
	// GlobalLimits count remediations with an effect on any target.
	GlobalLimits []Limit
	// Effects that are known now: at the decision those of unconditional steps, then
	// all that will run, before an effect that one alone.
	Effects []Effect
	// Guardrails of the newest configuration.
	Guardrails []Guardrail
	// Upstreams by name, of the newest configuration.
	Upstreams map[string]Upstream
	// World is what is known of services.
	World services.World
	// Handled are open episodes that some policy would handle on a target, by target,
	// without the one that is decided.
	Handled map[string][]ledger.Episode
	Flap    Flap
	// StormUntil is when the storm ends that rages now; zero: there is none.
	StormUntil time.Time
	StormText  string
	// MaxUnhealthy bounds unhealthy root causes beside what this is about.
	MaxUnhealthy int
	// Approved are the guards that asked and were satisfied by a person, with who it was.
	Approved map[string]string
	// StartedMode is the mode in which the remediation was started, "" before there
	// is one; see ModeMark.
	StartedMode Mode
}

// Decide asks every guard.
func Decide(in *Input) Decision {
	return ask(Guards, in)
}

// DecideEffect asks the target guards for one effect's target, before the
// remediation's first effect.
func DecideEffect(in *Input) Decision { return ask(EffectGuards, in) }

// DecideHold asks what may hold a remediation that has begun.
func DecideHold(in *Input) Decision { return ask(Holding, in) }

// DecideAfterFirst asks what a remediation that has begun is asked before its next
// effect: AlwaysAfterFirst about all targets of it, UntouchedAfterFirst about those
// that the remediation has not touched yet.
func DecideAfterFirst(in *Input, untouched []string) Decision {
	fresh := *in
	fresh.Targets = untouched
	return conclude(in, append(answers(AlwaysAfterFirst, in), answers(UntouchedAfterFirst, &fresh)...))
}

// PlannedGuards are asked for the effects of all steps that will run, before the
// first of them, so that nothing is left half done.
var PlannedGuards = []Guard{Guardrails{}}

// DecideGuardrails asks PlannedGuards.
func DecideGuardrails(in *Input) Decision { return ask(PlannedGuards, in) }

func ask(guards []Guard, in *Input) Decision { return conclude(in, answers(guards, in)) }

func answers(guards []Guard, in *Input) []Answer {
	out := make([]Answer, 0, len(guards))
	for _, g := range guards {
		a := g.Evaluate(in)
		if who, ok := in.Approved[g.Name()]; ok && a.Code == CodeApproval {
			a = Answer{Text: "approved by " + who}
		}
		a.Guard = g.Name()
		if a.Code == "" {
			a.Code = CodeAllowed
		}
		out = append(out, a)
	}
	return out
}

// conclude makes a decision of answers: the first refusal, and a question to a
// person only where nothing refuses (design §5, order of guards).
func conclude(in *Input, list []Answer) Decision {
	d := Decision{Verdict: Execute, Code: CodeAllowed, Text: "all guards allow it", Answers: list}
	if a := firmest(list...); !a.Allows() {
		d.Verdict, d.Code, d.Text, d.Guard = VerdictOf(a.Code), a.Code, a.Text, a.Guard
		d.Until, d.TellAt = a.Until, a.TellAt
	}
	if d.Code == CodeJoined || d.Code == CodeDuplicate {
		d.Join = joins(in)
	}
	return d
}

// firmest is the first answer that refuses, else the first that asks a person, else
// the zero Answer, which allows. A guard that looks at several things uses it as
// well: consent to one of them must not hide that another refuses.
func firmest(list ...Answer) Answer {
	var asks Answer
	for _, a := range list {
		switch {
		case a.Allows():
		case a.Code != CodeApproval:
			return a
		case asks.Allows():
			asks = a
		}
	}
	return asks
}

// past clamps a time from the records to now: a clock that went back must not
// lengthen a wait (design §5, store trouble).
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// span writes a duration as the configuration does: "10m", "1d". What lasted longer
// than a second is told to the second.
func span(d time.Duration) string {
	if d > time.Second {
		d = d.Round(time.Second)
	}
	return model.Duration(max(d, 0).Round(time.Millisecond)).String()
}

// clock writes a moment for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// isLive says whether the decision is about a live remediation: what began as a dry
// run stays one.
func isLive(in *Input) bool { return in.Mode == Live && in.StartedMode != DryRun }

// mine says whether a target is one of those that the decision is about.
func mine(in *Input, target string) bool {
	if slices.Contains(in.Targets, target) || slices.Contains(in.Possible, target) ||
		in.Remediation != "" && in.Busy[target] == in.Remediation {
		return true
	}
	return slices.ContainsFunc(in.Effects, func(e Effect) bool { return e.Target == target })
}

// busyElsewhere is the remediation that works on a target, "" for none or for the
// one that asks.
func busyElsewhere(in *Input, target string) string {
	if holder := in.Busy[target]; holder != in.Remediation {
		return holder
	}
	return ""
}

// startsContainers says whether a kind of effect starts containers: such a start
// needs what the service depends on, and undoes a stop.
func startsContainers(uses string) bool {
	return uses == "docker.start" || uses == "docker.restart" || uses == "docker.update_memory"
}
