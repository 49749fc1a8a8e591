package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestCooldown_Evaluate(t *testing.T) {
	done := func(ago time.Duration, pol, tgt string) func(*fixture) {
		return func(f *fixture) { f.worked(at(-ago), "r-1", pol, tgt, "failed") }
	}
	refused := func(pol, tgt, ago, lifts string, until time.Duration) policy.Answer {
		return policy.Answer{
			Code: policy.CodeCooldown, Until: at(until),
			Text: tgt + " was changed " + ago + " ago by remediation r-1 of policy \"" + pol + "\"; cooldown 10m ends at " + lifts,
		}
	}
	runGuard(t, policy.Cooldown{}, []guardCase{
		{name: "never touched"},
		{"touched by another policy", done(4*minute, "Q", target), refused("Q", target, "4m", "10:06:00Z", 6*minute)},
		{"cooled down this instant", done(10*minute, "P", target), policy.Answer{}},
		{"another target", done(4*minute, "P", other), policy.Answer{}},
		{"its own effect", func(f *fixture) { done(4*minute, "P", target)(f); f.in.Remediation = "r-1" }, policy.Answer{}},
		{"no cooldown asked for", func(f *fixture) { done(0, "P", target)(f); f.in.Policy.Settings.Cooldown = 0 }, policy.Answer{}},
		{"recorded in the future", done(-60*minute, "P", target), refused("P", target, "0s", "10:10:00Z", 10*minute)},
		{"of two targets the one that lifts last", func(f *fixture) {
			f.worked(at(-8*minute), "r-0", "P", target, "failed")
			f.worked(at(-3*minute), "r-1", "P", other, "failed")
			f.in.Targets = []string{target, other}
		}, refused("P", other, "3m", "10:07:00Z", 7*minute)},
	})
}
