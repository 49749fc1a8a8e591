package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

// chain is a, which needs b, which needs c, in these states.
func chain(b, c services.State) func(*fixture) {
	return func(f *fixture) {
		f.restarts(target)
		f.world(declared(target, services.Unhealthy, other), declared(other, b, third), declared(third, c))
	}
}

func TestDependency_Evaluate(t *testing.T) {
	refused := func(text string) policy.Answer { return policy.Answer{Code: policy.CodeDependency, Text: text} }
	direct, indirect := "; docker:local/a depends on it", "; docker:local/a depends on it through docker:local/b"
	well := services.Healthy
	completed := func(condition string) func(*fixture) {
		return func(f *fixture) {
			f.restarts(target)
			a := declared(target, services.Unhealthy)
			a.DependsOn = []services.Dependency{{Target: other, Condition: condition}}
			f.world(a, declared(other, services.Completed))
		}
	}
	uses := func(kind string) func(*fixture) {
		return func(f *fixture) {
			chain(services.Stopped, well)(f)
			f.in.Effects[0].Uses = kind
		}
	}
	stopped := refused("docker:local/b is stopped" + direct)
	runGuard(t, policy.Dependency{}, []guardCase{
		{name: "nothing is known"},
		{"all is well, but for itself", chain(well, well), policy.Answer{}},
		{"running without a health check", chain(services.Running, well), policy.Answer{}},
		{"starting", chain(services.Starting, well), refused("docker:local/b is starting" + direct)},
		{"stopped", chain(services.Stopped, well), stopped},
		{"unhealthy further down", chain(well, services.Unhealthy), refused("docker:local/c is unhealthy" + indirect)},
		{"the nearest is named", chain(services.Starting, services.Unhealthy), refused("docker:local/b is starting" + direct)},
		{"unknown is no reason", chain(services.Unknown, well), policy.Answer{}},
		{"but it is no end either", chain(services.Unknown, services.Stopped), refused("docker:local/c is stopped" + indirect)},
		{"missing", chain(services.Missing, well), refused("docker:local/b is missing" + direct)},
		{"missing, but not declared", func(f *fixture) {
			f.restarts(target)
			f.world(declared(target, services.Stopped, other), services.Service{Target: other, State: services.Missing})
		}, policy.Answer{}},
		{"stopped, not declared", func(f *fixture) {
			f.restarts(target)
			f.world(declared(target, services.Stopped, other), services.Service{Target: other, State: services.Stopped, Text: "b-1 exited"})
		}, refused("docker:local/b is stopped (b-1 exited)" + direct)},
		{"has ended well, as it should", completed(services.ConditionCompleted), policy.Answer{}},
		{"has ended, and should be healthy", completed(services.ConditionHealthy), refused("docker:local/b is completed" + direct)},
		{"the condition of the edge that leads to it", func(f *fixture) {
			f.restarts(target)
			b := declared(other, well)
			b.DependsOn = []services.Dependency{{Target: third, Condition: services.ConditionCompleted}}
			f.world(declared(target, services.Stopped, other), b, declared(third, services.Completed))
		}, policy.Answer{}},
		{"start", uses("docker.start"), stopped},
		{"update_memory", uses("docker.update_memory"), stopped},
		{"a stop needs nothing", uses("docker.stop"), policy.Answer{}},
		{"a command needs nothing", uses("command"), policy.Answer{}},
		{"of the second effect", func(f *fixture) {
			f.restarts(fourth, target)
			f.world(declared(fourth, well), declared(target, well, other), declared(other, services.Stopped))
		}, stopped},
		{"of the second effect, the first needs nothing", func(f *fixture) {
			chain(services.Stopped, well)(f)
			f.in.Effects = append([]policy.Effect{{Uses: "command", Target: target}}, f.in.Effects...)
		}, stopped},
		{"one of its own targets", func(f *fixture) {
			chain(services.Stopped, well)(f)
			f.in.Possible = []string{target, other}
		}, policy.Answer{}},
		{"what its own target needs", func(f *fixture) {
			chain(services.Stopped, services.Unhealthy)(f)
			f.in.Possible = []string{target, other}
		}, refused("docker:local/c is unhealthy" + indirect)},
		{"the target of another of its effects", func(f *fixture) { chain(services.Stopped, well)(f); f.restarts(target, other) }, policy.Answer{}},
		{"what it has locked", func(f *fixture) {
			chain(services.Stopped, well)(f)
			f.in.Busy, f.in.Remediation = map[string]string{other: "r-1"}, "r-1"
		}, policy.Answer{}},
		{"its own target first, then another", func(f *fixture) {
			f.restarts(target)
			f.in.Possible = []string{target, third}
			f.world(declared(target, well, third, other), declared(third, services.Stopped), declared(other, services.Stopped))
		}, stopped},
		{"it needs itself in a circle", func(f *fixture) {
			f.restarts(target)
			f.in.Targets, f.in.Possible = nil, nil
			f.world(declared(target, services.Stopped, other, target), declared(other, well, target, third), declared(third, well, other))
		}, policy.Answer{}},
	})
}

func TestDependency_WhatWasDownWhenLastSeenIsDown(t *testing.T) {
	last := func(state services.State) func(*fixture) {
		return func(f *fixture) {
			f.restarts(target)
			lost := declared(other, services.Unknown)
			lost.Last, lost.Text = state, "the engine is away"
			mine := declared(target, services.Unhealthy)
			mine.DependsOn = []services.Dependency{{Target: other, Condition: services.ConditionHealthy}}
			f.world(mine, lost)
		}
	}
	runGuard(t, policy.Dependency{}, []guardCase{
		{"never seen", last(""), policy.Answer{}},
		{"well when last seen", last(services.Healthy), policy.Answer{}},
		{"stopped when last seen", last(services.Stopped), policy.Answer{
			Code: policy.CodeDependency, Text: other + " was stopped when last seen, and cannot be looked at now (the engine is away); " + target + " depends on it",
		}},
	})
}

func TestDependency_ThatHasJustComeBack(t *testing.T) {
	back := func(since time.Duration, change func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			f.restarts(target)
			well, mine := declared(other, services.Healthy), declared(target, services.Unhealthy)
			well.Since = at(since)
			mine.DependsOn = []services.Dependency{{Target: other, Condition: services.ConditionHealthy}}
			f.world(mine, well)
			if change != nil {
				change(f)
			}
		}
	}
	waited := func(f *fixture) {
		f.in.Episode.Decided = map[string]ledger.Decided{f.in.Policy.Name: {Code: string(policy.CodeDependency)}}
	}
	until := func(d time.Duration) policy.Answer {
		return policy.Answer{Code: policy.CodeDependency, Until: at(d), Text: other + " has just come back: what needs it has until " +
			at(d).UTC().Format("2006-01-02 15:04:05Z") + " to do so by itself; " + target + " depends on it"}
	}
	runGuard(t, policy.Dependency{}, []guardCase{
		{"seen well for the first time, and nothing has waited", back(-time.Second, nil), policy.Answer{}},
		{"waited for", back(-15*time.Second, waited), until(30 * time.Second)},
		{"waited for, long enough", back(-45*time.Second, waited), policy.Answer{}},
		{"acted upon", back(-hour, func(f *fixture) { f.worked(at(-20*time.Second), "r-1", "Q", other, "succeeded") }), until(25 * time.Second)},
		{"acted upon, long enough ago", back(-hour, func(f *fixture) { f.worked(at(-minute), "r-1", "Q", other, "succeeded") }), policy.Answer{}},
	})
}

func TestDependency_WorkAndAlerts(t *testing.T) {
	busy := func(tgt, self string) func(*fixture) {
		return func(f *fixture) {
			chain(services.Healthy, services.Healthy)(f)
			f.in.Busy, f.in.Remediation = map[string]string{tgt: "r-9"}, self
		}
	}
	handled := func(b services.State, tgt string) func(*fixture) {
		return func(f *fixture) {
			chain(b, services.Healthy)(f)
			f.fires(at(-minute), "e-2", map[string]string{"alertname": "PostgresDown"})
			e, _ := f.l.Episode("e-2")
			f.in.Handled = map[string][]ledger.Episode{tgt: {e}, fourth: {e}, third: {}}
		}
	}
	refused := func(text string) policy.Answer { return policy.Answer{Code: policy.CodeDependency, Text: text} }
	about := func(state string) policy.Answer {
		return refused(`docker:local/b is what alert "PostgresDown" is about (episode e-2), and its state (` + state +
			") does not contradict that; docker:local/a depends on it")
	}
	runGuard(t, policy.Dependency{}, []guardCase{
		{"under another remediation", busy(other, ""), refused("docker:local/b is being worked on by remediation r-9; docker:local/a depends on it")},
		{"further down", busy(third, "r-1"), refused("docker:local/c is being worked on by remediation r-9; docker:local/a depends on it through docker:local/b")},
		{"under its own remediation", busy(other, "r-9"), policy.Answer{}},
		{"another remediation elsewhere", busy(fourth, ""), policy.Answer{}},
		{"unknown, and under another remediation", func(f *fixture) {
			chain(services.Unknown, services.Healthy)(f)
			f.in.Busy = map[string]string{other: "r-9"}
		}, refused("docker:local/b is being worked on by remediation r-9; docker:local/a depends on it")},
		{"live health contradicts an alert", handled(services.Healthy, other), policy.Answer{}},
		{"running contradicts nothing", handled(services.Running, other), about("running")},
		{"unknown contradicts nothing", handled(services.Unknown, other), about("unknown")},
		{"an alert about something else", handled(services.Running, fourth), policy.Answer{}},
		{"an alert about itself", handled(services.Running, target), policy.Answer{}},
		{"unhealthy says more than the alert", handled(services.Unhealthy, other), refused("docker:local/b is unhealthy; docker:local/a depends on it")},
	})
}

func TestDependency_EndsInACircleOfOthers(t *testing.T) {
	f := newFixture()
	f.restarts(target)
	f.world(declared(target, services.Stopped, other), declared(other, services.Healthy, third), declared(third, services.Healthy, other, third, fourth))
	require.True(t, policy.Dependency{}.Evaluate(f.in).Allows())
	f.world(declared(target, services.Stopped, other), declared(other, services.Healthy, third),
		declared(third, services.Healthy, other, third, fourth), declared(fourth, services.Stopped))
	require.Equal(t, "docker:local/d is stopped; docker:local/a depends on it through docker:local/c", policy.Dependency{}.Evaluate(f.in).Text)
}
