package policy_test

import (
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

const (
	third  = "docker:local/c"
	fourth = "docker:local/d"
)

// restarts makes the decision one about restarting targets.
func (f *fixture) restarts(targets ...string) {
	f.in.Effects = nil
	for _, t := range targets {
		f.in.Effects = append(f.in.Effects, policy.Effect{Uses: "docker.restart", Target: t})
	}
}

// declared is a service of the configuration that needs others to be healthy.
func declared(target string, state services.State, deps ...string) services.Service {
	s := services.Service{Target: target, Declared: true, State: state}
	for _, d := range deps {
		s.DependsOn = append(s.DependsOn, services.Dependency{Target: d, Condition: services.ConditionHealthy})
	}
	return s
}

func (f *fixture) world(list ...services.Service) { f.in.World = services.NewWorld(f.in.Now, list...) }

// stopped is a service with one container that stopped ten minutes ago.
func stopped(target string, cause services.Cause) services.Service {
	s := declared(target, services.Stopped)
	s.Stops = []services.Stop{stop("0123456789abcdef", cause)}
	return s
}

func stop(container string, cause services.Cause) services.Stop {
	s := services.Stop{Container: container, Name: container[:4] + "-1", Cause: cause, At: at(-10 * minute)}
	if cause == services.ByKill {
		s.Killed = s.At.Add(-2 * time.Second)
	}
	return s
}

// fires is another alert that fires since a time.
func (f *fixture) fires(t time.Time, ep string, labels map[string]string) {
	f.apply(t, audit.Record{
		Type: audit.AlertFiring, Episode: ep,
		Alert: &alert.Alert{Status: alert.Firing, Fingerprint: "of-" + ep, StartsAt: t, Labels: labels},
	})
}

func (f *fixture) resolves(t time.Time, ep string, labels map[string]string) {
	f.apply(t, audit.Record{
		Type: audit.AlertResolved, Episode: ep,
		Alert: &alert.Alert{Status: alert.Resolved, Fingerprint: "of-" + ep, StartsAt: t.Add(-minute), EndsAt: t, Labels: labels},
	})
}

// upstream records a change of stellar at a time.
func (f *fixture) upstream(t time.Time, c upstream.Change) {
	c.Upstream = "stellar"
	f.apply(t, audit.Record{Type: audit.UpstreamChanged, Data: audit.JSON(c)})
}

// closed is a remediation of a policy without an effect of its own in the records.
func (f *fixture) closed(t time.Time, rem, pol, outcome string) {
	f.worked(t, rem, pol, other, outcome)
}

func (f *fixture) effect(t time.Time, rem, effect string) {
	f.apply(t, audit.Record{Type: audit.RemediationEffect, Remediation: rem, Effect: effect})
}

func (f *fixture) run() { f.in.Episode.Origin = ledger.OriginRun }
