package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestAttempts_Evaluate(t *testing.T) {
	tried := func(outcomes ...string) func(*fixture) {
		return func(f *fixture) {
			for i, o := range outcomes {
				f.worked(at(-4*minute), []string{"r-1", "r-2", "r-3"}[i], "P", target, o)
			}
		}
	}
	runGuard(t, policy.Attempts{}, []guardCase{
		{name: "none yet"},
		{"one of two", tried("failed"), policy.Answer{}},
		{"two of two", tried("failed", "succeeded"), policy.Answer{Code: policy.CodeAttempts, Text: "2 of 2 attempts have been made in this episode"}},
		{"the second asks for itself", func(f *fixture) { tried("failed", "")(f); f.in.Remediation = "r-2" }, policy.Answer{}},
		{
			"handed over to people", tried("escalated"),
			policy.Answer{Code: policy.CodeAttempts, Text: "remediation r-1 ended as escalated; the episode is with people now"},
		},
		{"another policy's", func(f *fixture) { tried("failed", "failed")(f); f.in.Policy.Name = "Q" }, policy.Answer{}},
		{"another episode's", func(f *fixture) {
			tried("failed", "failed")(f)
			f.firing(at(-minute), "e-2", "other")
			f.in.Episode, _ = f.l.Episode("e-2")
		}, policy.Answer{}},
	})
}
