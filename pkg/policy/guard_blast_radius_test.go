package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

const fifth = "docker:local/e"

func TestBlastRadius_Evaluate(t *testing.T) {
	sick, well := services.Unhealthy, services.Healthy
	world := func(most int, list ...services.Service) func(*fixture) {
		return func(f *fixture) { f.in.MaxUnhealthy = most; f.world(list...) }
	}
	busy := func(change func(*fixture), held map[string]string) func(*fixture) {
		return func(f *fixture) { change(f); f.in.Busy = held }
	}
	as := func(change func(*fixture), rem string) func(*fixture) {
		return func(f *fixture) { change(f); f.in.Remediation = rem }
	}
	two := func(what string) policy.Answer {
		return policy.Answer{Code: policy.CodeBlastRadius, Text: "unhealthy or being worked on, beside what this is about: " + what + " (2; max_unhealthy is 1)"}
	}
	one := func(what string) policy.Answer {
		return policy.Answer{Code: policy.CodeBlastRadius, Text: "unhealthy or being worked on, beside what this is about: " + what + " (1; max_unhealthy is 0)"}
	}
	bc := two("docker:local/b (unhealthy), docker:local/c (unhealthy)")
	runGuard(t, policy.BlastRadius{}, []guardCase{
		{name: "nothing is known"},
		{"all is well", world(0, declared(other, well), declared(third, services.Running), declared(fourth, services.Starting), declared(fifth, services.Completed)), policy.Answer{}},
		{"as many as may be", world(2, declared(other, sick), declared(third, sick)), policy.Answer{}},
		{"too many", world(1, declared(third, sick), declared(other, sick)), bc},
		{"stopped counts", world(0, declared(other, services.Stopped)), one("docker:local/b (stopped)")},
		{"down when last seen", func(f *fixture) {
			lost := declared(other, services.Unknown)
			lost.Last = services.Unhealthy
			world(0, lost)(f)
		}, policy.Answer{Code: policy.CodeBlastRadius, Text: "unhealthy or being worked on, beside what this is about: " + other + " (unknown) (1; max_unhealthy is 0)"}},
		{"missing and unknown do not", world(0, declared(other, services.Missing), declared(third, services.Unknown)), policy.Answer{}},
		{"it is turned off", world(-1, declared(third, sick), declared(other, sick)), policy.Answer{}},
		{"not those that it is about", world(0, declared(target, sick)), policy.Answer{}},
		{"not those that it may be about", func(f *fixture) {
			world(0, declared(target, sick), declared(other, sick))(f)
			f.in.Possible = []string{target, other}
		}, policy.Answer{}},
		{"not those that it has locked", busy(as(world(0, declared(other, sick)), "r-1"), map[string]string{other: "r-1"}), policy.Answer{}},
		{"not those that are not declared", world(0, services.Service{Target: other, State: sick}), policy.Answer{}},
		{"what needs it is no root cause", world(1, declared(other, sick), declared(third, sick, other), declared(fourth, services.Stopped, third)), policy.Answer{}},
		{"what needs it through one that is well", world(1, declared(other, sick), declared(third, well, other), declared(fourth, sick, third)), policy.Answer{}},
		{"what needs a target of ours", world(0, declared(target, sick), declared(other, sick, target)), policy.Answer{}},
		{"what needs a target of ours that is well", world(0, declared(target, well), declared(other, sick, target)), one("docker:local/b (unhealthy)")},
		{"what needs one that is stopped", world(1, declared(other, services.Stopped), declared(third, sick, other)), policy.Answer{}},
		{"what needs one that is missing", world(0, declared(other, services.Missing), declared(third, sick, other)), policy.Answer{}},
		{
			"what needs one that is missing, and not declared", world(0, services.Service{Target: other, State: services.Missing}, declared(third, sick, other)),
			one("docker:local/c (unhealthy)"),
		},
		{"what needs one that is not declared, and down", world(0, services.Service{Target: other, State: sick}, declared(third, sick, other)), policy.Answer{}},
		{"what needs one that is starting", world(0, declared(other, services.Starting), declared(third, sick, other)), one("docker:local/c (unhealthy)")},
		{"those that need each other explain nothing", world(1, declared(other, sick, third), declared(third, sick, other)), bc},
		{"nor does one that needs itself", world(0, declared(other, sick, other)), one("docker:local/b (unhealthy)")},
		{"what needs a circle", world(2, declared(other, sick, third), declared(third, sick, other), declared(fourth, sick, other)), policy.Answer{}},
		{"another remediation", busy(world(0), map[string]string{other: "r-9"}), one("docker:local/b (under remediation r-9)")},
		{"its targets count each", busy(world(1), map[string]string{other: "r-9", third: "r-9"}), two("docker:local/b (under remediation r-9), docker:local/c (under remediation r-9)")},
		{"one that is unhealthy counts once", busy(world(1, declared(other, sick)), map[string]string{other: "r-9"}), policy.Answer{}},
		{
			"one that is explained counts all the same", busy(world(1, declared(other, sick), declared(third, sick, other)), map[string]string{third: "r-9"}),
			two("docker:local/b (unhealthy), docker:local/c (under remediation r-9)"),
		},
		{"its own", busy(as(world(0), "r-9"), map[string]string{other: "r-9"}), policy.Answer{}},
		{"another one on a target of ours", busy(world(0), map[string]string{target: "r-9"}), policy.Answer{}},
		{"a lock that nobody holds", busy(as(world(0), "r-1"), map[string]string{other: ""}), policy.Answer{}},
	})
}

func TestBlastRadius_StoppedByPersons(t *testing.T) {
	is := func(list ...services.Service) func(*fixture) { return func(f *fixture) { f.world(list...) } }
	with := func(s services.Service, change func(*services.Service)) services.Service { change(&s); return s }
	counts := func(state string) policy.Answer {
		return policy.Answer{Code: policy.CodeBlastRadius, Text: "unhealthy or being worked on, beside what this is about: docker:local/b (" + state + ") (1; max_unhealthy is 0)"}
	}
	killed := stopped(other, services.ByKill)
	runGuard(t, policy.BlastRadius{}, []guardCase{
		{"a person stopped it", is(killed), policy.Answer{}},
		{"a person stopped what it needs", is(killed, declared(third, services.Unhealthy, other)), policy.Answer{}},
		{"it crashed", is(stopped(other, services.ByCrash)), counts("stopped")},
		{"for an unknown cause", is(stopped(other, services.ByUnknown)), counts("stopped")},
		{"for an unknown cause by now, a person's once", func(f *fixture) {
			f.apply(at(-minute), audit.Record{
				Type: audit.RemediationDecided, Episode: "e-1", Policy: "Q", Verdict: "suppress",
				Reason: &audit.Reason{Code: string(policy.CodeStoppedByPerson)},
				Data:   audit.JSON(ledger.DecidedData{Stops: []ledger.StopSeen{{Target: other, Container: "0123456789abcdef", At: at(-10 * minute)}}}),
			})
			f.world(stopped(other, services.ByUnknown))
		}, policy.Answer{}},
		{"ours", func(f *fixture) {
			f.worked(at(-10*minute-3e9), "r-1", "Q", other, "failed")
			f.world(killed)
		}, counts("stopped")},
		{"a person stopped one, another crashed", is(with(killed, func(s *services.Service) {
			s.Stops = append(s.Stops, stop("fedcba98", services.ByCrash))
		})), counts("stopped")},
		{"a person stopped one, another is unhealthy", is(with(killed, func(s *services.Service) { s.State = services.Unhealthy })), counts("unhealthy")},
		{"nothing is known of how it stopped", is(with(killed, func(s *services.Service) { s.Stops = nil })), counts("stopped")},
	})
}
