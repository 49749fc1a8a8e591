package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestSettle_Evaluate(t *testing.T) {
	done := func(ago time.Duration, pol, outcome string) func(*fixture) {
		return func(f *fixture) { f.worked(at(-ago), "r-1", pol, target, outcome) }
	}
	runGuard(t, policy.Settle{}, []guardCase{
		{name: "never before"},
		{"it helped four minutes ago", done(4*minute, "P", "succeeded"), policy.Answer{
			Code: policy.CodeSettling, Until: at(11 * minute),
			Text: "remediation r-1 ended well on docker:local/a 4m ago; it has until 10:11:00Z to show (settle 15m)",
		}},
		{"it has had its time", done(15*minute, "P", "succeeded"), policy.Answer{}},
		{"it failed", done(4*minute, "P", "failed"), policy.Answer{}},
		{"another policy's", done(4*minute, "Q", "succeeded"), policy.Answer{}},
		{"another target's", func(f *fixture) { f.worked(at(-minute), "r-1", "P", other, "succeeded") }, policy.Answer{}},
		{"recorded in the future", done(-60*minute, "P", "succeeded"), policy.Answer{
			Code: policy.CodeSettling, Until: at(15 * minute),
			Text: "remediation r-1 ended well on docker:local/a 0s ago; it has until 10:15:00Z to show (settle 15m)",
		}},
	})
}
