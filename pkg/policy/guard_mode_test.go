package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestModeMark_Evaluate(t *testing.T) {
	dry := policy.Answer{Text: "dry run: nothing will be changed"}
	runGuard(t, policy.ModeMark{}, []guardCase{
		{"live", nil, policy.Answer{Text: "live"}},
		{"dry run only marks", func(f *fixture) { f.in.Mode = policy.DryRun }, dry},
		{"no mode is a dry run", func(f *fixture) { f.in.Mode = "" }, dry},
		{"live stays live", func(f *fixture) { f.in.StartedMode = policy.Live }, policy.Answer{Text: "live"}},
		{"dry run stays dry run", func(f *fixture) { f.in.StartedMode = policy.DryRun }, dry},
		{
			"became dry run meanwhile", func(f *fixture) { f.in.StartedMode, f.in.Mode = policy.Live, policy.DryRun },
			policy.Answer{Code: policy.CodePaused, Text: "the mode was changed to dry-run meanwhile"},
		},
	})
}
