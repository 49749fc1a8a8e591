package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestTargetBusy_Evaluate(t *testing.T) {
	busy := func(tgt, rem string) func(*fixture) {
		return func(f *fixture) { f.in.Busy, f.in.Remediation = map[string]string{tgt: "r-1"}, rem }
	}
	runGuard(t, policy.TargetBusy{}, []guardCase{
		{name: "free"},
		{"locked by another", busy(target, ""), policy.Answer{Code: policy.CodeTargetBusy, Text: target + " is being worked on by remediation r-1"}},
		{"locked by the one that asks", busy(target, "r-1"), policy.Answer{}},
		{"another target is locked", busy(other, ""), policy.Answer{}},
		{
			"a possible target is locked", func(f *fixture) { busy(other, "")(f); f.in.Possible = []string{target, other} },
			policy.Answer{Code: policy.CodeTargetBusy, Text: other + " is being worked on by remediation r-1"},
		},
	})
}
