package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

func TestHumanOverride_Evaluate(t *testing.T) {
	const id = "0123456789abcdef"
	is := func(s services.Service) func(*fixture) {
		return func(f *fixture) { f.restarts(target); f.world(s) }
	}
	both := func(a, b services.Cause) func(*fixture) {
		s := stopped(target, a)
		s.Stops = append(s.Stops, stop("fedcba9876543210", b))
		return is(s)
	}
	person := func(name string) policy.Answer {
		return policy.Answer{Code: policy.CodeStoppedByPerson, Text: "container " + name + " of docker:local/a was stopped at 2026-03-01 09:50:00Z " +
			"by a person (it was killed, and no remediation was at work on it); start it by hand when it may run again"}
	}
	asks := policy.Answer{Code: policy.CodeApproval, Text: "container 0123-1 of docker:local/a was stopped at 2026-03-01 09:50:00Z, " +
		"and why is not known (Docker's events of that time are gone); consent to start it, start it by hand, or set when_stopped: start"}
	starts := func(change func(*fixture)) func(*fixture) {
		return func(f *fixture) { change(f); f.in.Effects[0].StartsStopped = true }
	}
	uses := func(kind string) func(*fixture) {
		return func(f *fixture) { is(stopped(target, services.ByKill))(f); f.in.Effects[0].Uses = kind }
	}
	// The container was killed at -10m2s and died at -10m.
	after := func(d time.Duration, cause services.Cause) func(*fixture) {
		return func(f *fixture) {
			f.worked(at(-10*minute-2*time.Second-d), "r-1", "Q", target, "failed")
			is(stopped(target, cause))(f)
		}
	}
	seen := func(cause services.Cause, was ledger.StopSeen) func(*fixture) {
		return func(f *fixture) {
			f.apply(at(-minute), audit.Record{
				Type: audit.RemediationDecided, Episode: "e-1", Policy: "Q", Verdict: "suppress",
				Reason: &audit.Reason{Code: string(policy.CodeStoppedByPerson)}, Data: audit.JSON(ledger.DecidedData{Stops: []ledger.StopSeen{was}}),
			})
			is(stopped(target, cause))(f)
		}
	}
	stopOf := ledger.StopSeen{Target: target, Container: id, At: at(-10 * minute)}
	runGuard(t, policy.HumanOverride{}, []guardCase{
		{name: "nothing is known"},
		{"it runs", is(declared(target, services.Unhealthy)), policy.Answer{}},
		{"killed by a person", is(stopped(target, services.ByKill)), person("0123-1")},
		{"never overruled by when_stopped", starts(is(stopped(target, services.ByKill))), person("0123-1")},
		{"crashed", is(stopped(target, services.ByCrash)), policy.Answer{}},
		{"for an unknown cause", is(stopped(target, services.ByUnknown)), asks},
		{"for no cause that we know", is(stopped(target, "")), asks},
		{"for an unknown cause, and the step starts it", starts(is(stopped(target, services.ByUnknown))), policy.Answer{}},
		{"ours", after(0, services.ByKill), policy.Answer{}},
		{"ours, five seconds after", after(5*time.Second, services.ByKill), policy.Answer{}},
		{"ours, by its kill, though it took its time to die", after(4*time.Second, services.ByKill), policy.Answer{}},
		{"too long after ours", after(5*time.Second+1, services.ByKill), person("0123-1")},
		{"ours for an unknown cause, by its death", after(0, services.ByUnknown), policy.Answer{}},
		{"ours of another target", func(f *fixture) {
			f.worked(at(-10*minute), "r-1", "Q", other, "failed")
			is(stopped(target, services.ByKill))(f)
		}, person("0123-1")},
		{"remembered, the events are gone", seen(services.ByUnknown, stopOf), person("0123-1")},
		{"remembered, and the step starts it", starts(seen(services.ByUnknown, stopOf)), person("0123-1")},
		{"another container's is remembered", seen(services.ByUnknown, ledger.StopSeen{Target: target, Container: "x", At: stopOf.At}), asks},
		{"an earlier stop is remembered", seen(services.ByUnknown, ledger.StopSeen{Target: target, Container: id, At: at(-hour)}), asks},
		{"another target's is remembered", seen(services.ByUnknown, ledger.StopSeen{Target: other, Container: id, At: stopOf.At}), asks},
		{"one crashed, one was killed", both(services.ByCrash, services.ByKill), person("fedc-1")},
		{"one is unknown, one was killed", both(services.ByUnknown, services.ByKill), person("fedc-1")},
		{"one crashed, one is unknown", both(services.ByUnknown, services.ByCrash), asks},
		{"of the second effect", func(f *fixture) {
			f.restarts(other, target)
			f.world(stopped(target, services.ByKill), stopped(other, services.ByUnknown))
		}, person("0123-1")},
		{"of the second effect, the first starts nothing", func(f *fixture) {
			is(stopped(target, services.ByKill))(f)
			f.in.Effects = append([]policy.Effect{{Uses: "command", Target: target}}, f.in.Effects...)
		}, person("0123-1")},
		{"start", uses("docker.start"), person("0123-1")},
		{"update_memory", uses("docker.update_memory"), person("0123-1")},
		{"a stop starts nothing", uses("docker.stop"), policy.Answer{}},
		{"a command starts nothing", uses("command"), policy.Answer{}},
		{"another target's stop", func(f *fixture) {
			f.restarts(target)
			f.world(stopped(other, services.ByKill), declared(target, services.Unhealthy))
		}, policy.Answer{}},
		{"cannot be looked at", is(declared(target, services.Unknown)), policy.Answer{
			Code: policy.CodeUnconfirmable, Text: "docker:local/a cannot be looked at (" + declared(target, services.Unknown).Text + "), so whether a person stopped it is not known",
		}},
		{"a container without a name", func(f *fixture) {
			s := stopped(target, services.ByKill)
			s.Stops[0].Name = ""
			is(s)(f)
		}, person("0123456789ab")},
		{"a container without anything", func(f *fixture) {
			s := stopped(target, services.ByKill)
			s.Stops[0].Name, s.Stops[0].Container = "", ""
			is(s)(f)
		}, person("")},
	})
}

func TestHumanOverride_WhatAPersonStartsAgainIsLeftAlone(t *testing.T) {
	stopOf := ledger.StopSeen{Target: target, Container: "0123456789abcdef", At: at(-10 * minute)}
	runs := func(state services.State, since time.Duration, more ...func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			f.apply(at(-9*minute), audit.Record{
				Type: audit.RemediationDecided, Episode: "e-1", Policy: "Q", Verdict: "suppress",
				Reason: &audit.Reason{Code: string(policy.CodeStoppedByPerson)}, Data: audit.JSON(ledger.DecidedData{Stops: []ledger.StopSeen{stopOf}}),
			})
			f.in.Episode.Decided = map[string]ledger.Decided{f.in.Policy.Name: {Code: string(policy.CodeStoppedByPerson)}}
			for _, change := range more {
				change(f)
			}
			f.restarts(target)
			s := declared(target, state)
			s.Since = at(since)
			f.world(s)
		}
	}
	text := "docker:local/a was stopped by a person at 2026-03-01 09:50:00Z and has been started again since: it gets time to come up"
	left := policy.Answer{Code: policy.CodeStoppedByPerson, Text: text}
	until := func(d time.Duration) policy.Answer {
		a := left
		a.Until = at(d)
		return a
	}
	worked := func(when time.Duration) func(*fixture) {
		return func(f *fixture) { f.worked(at(when), "r-1", "Q", target, "succeeded") }
	}
	runGuard(t, policy.HumanOverride{}, []guardCase{
		{"starting", runs(services.Starting, -8*minute), until(2 * minute)},
		{"starting for ten minutes", runs(services.Starting, -10*minute), policy.Answer{}},
		{"running for less than a minute", runs(services.Running, -59*time.Second), until(time.Second)},
		{"running for a minute", runs(services.Running, -minute), policy.Answer{}},
		{"healthy again: confirm decides", runs(services.Healthy, -30*time.Second), policy.Answer{}},
		{"started, and unhealthy", runs(services.Unhealthy, -30*time.Second), policy.Answer{}},
		{"seen in this state before the stop", runs(services.Running, -11*minute), policy.Answer{}},
		{"ours since", runs(services.Starting, -minute, worked(-2*minute)), policy.Answer{}},
		{"ours before", runs(services.Starting, -minute, worked(-hour)), until(9 * minute)},
		{"not stopped in this episode", runs(services.Starting, -minute, func(f *fixture) { f.in.Episode.Decided = nil }), policy.Answer{}},
		{"nobody stopped it", func(f *fixture) { f.restarts(target); f.world(declared(target, services.Starting)) }, policy.Answer{}},
	})
}
