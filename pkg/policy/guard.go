package policy

import (
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
	TargetBusy{},
	Settle{},
	Cooldown{},
	Attempts{},
	Limits{},
}

// EffectGuards are asked again for an effect's resolved target right before its
// intent. After the remediation's first effect only AfterFirst of them are.
var EffectGuards = []Guard{Paused{}, Self{}, ModeMark{}, ResolvedAlert{}, Settle{}, Cooldown{}, Limits{}}

// Holding guards stop the next effect of a remediation that has begun by holding
// it, whatever the step's on_refused says.
var Holding = []Guard{Paused{}, ModeMark{}}

// AfterFirst are the target guards that follow on_refused after the first effect,
// for targets that the remediation has not touched.
var AfterFirst = []Guard{Self{}, Settle{}, Cooldown{}, Limits{}}

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

// DecideAfterFirst asks the target guards for a target that a remediation which
// has begun touches for the first time.
func DecideAfterFirst(in *Input) Decision { return ask(AfterFirst, in) }

func ask(guards []Guard, in *Input) Decision {
	d := Decision{Verdict: Execute, Code: CodeAllowed, Text: "all guards allow it"}
	for _, g := range guards {
		a := g.Evaluate(in)
		a.Guard = g.Name()
		if a.Code == "" {
			a.Code = CodeAllowed
		}
		d.Answers = append(d.Answers, a)
		if a.Allows() || d.Guard != "" {
			continue
		}
		d.Verdict, d.Code, d.Text, d.Until, d.Guard = VerdictOf(a.Code), a.Code, a.Text, a.Until, a.Guard
	}
	if d.Code == CodeJoined || d.Code == CodeDuplicate {
		d.Join = joins(in)
	}
	return d
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
