package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestDuplicate_Evaluate(t *testing.T) {
	active := func(change func(*policy.Active)) func(*fixture) {
		return func(f *fixture) {
			a := policy.Active{Remediation: "r-1", Policy: "P", Mode: policy.Live, Targets: []string{other, target}, Episodes: []string{"e-9"}}
			if change != nil {
				change(&a)
			}
			f.in.Possible = []string{target, other}
			f.in.Active = []policy.Active{a}
		}
	}
	joined := policy.Answer{Code: policy.CodeJoined, Text: "joined remediation r-1 of the same policy and targets"}
	handled := policy.Answer{Code: policy.CodeDuplicate, Text: "remediation r-1 is handling this episode"}
	runGuard(t, policy.Duplicate{}, []guardCase{
		{name: "nothing is under way"},
		{"same policy and targets", active(nil), joined},
		{"this very episode", active(func(a *policy.Active) { a.Episodes = []string{"e-9", "e-1"} }), handled},
		{"this very episode, other targets by now", active(func(a *policy.Active) { a.Episodes, a.Targets = []string{"e-1"}, nil }), handled},
		{"it waits for consent", active(func(a *policy.Active) { a.Asking = true }), joined},
		{"this very episode waits for consent", active(func(a *policy.Active) { a.Asking, a.Episodes = true, []string{"e-1"} }), handled},
		{"another policy", active(func(a *policy.Active) { a.Policy = "Q" }), policy.Answer{}},
		{"fewer targets", active(func(a *policy.Active) { a.Targets = []string{target} }), policy.Answer{}},
		{"a dry run", active(func(a *policy.Active) { a.Mode = policy.DryRun }), policy.Answer{}},
		{"it is the one that asks", func(f *fixture) { active(nil)(f); f.in.Remediation = "r-1" }, policy.Answer{}},
	})

	f := newFixture()
	active(nil)(f)
	require.Equal(t, "r-1", policy.Decide(f.in).Join)
}
