package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestPaused_Evaluate(t *testing.T) {
	paused := func(scope string, until time.Time) policy.Answer {
		return policy.Answer{Code: policy.CodePaused, Text: scope + " is paused by user:alice: maintenance", Until: until}
	}
	runGuard(t, policy.Paused{}, []guardCase{
		{name: "nothing is paused"},
		{"everything", func(f *fixture) { f.pause("global", time.Time{}) }, paused("global", time.Time{})},
		{"this policy, for a while", func(f *fixture) { f.pause("policy:P", at(minute)) }, paused("policy:P", at(minute))},
		{"this target", func(f *fixture) { f.pause("target:"+target, time.Time{}) }, paused("target:"+target, time.Time{})},
		{"another policy", func(f *fixture) { f.pause("policy:Q", time.Time{}) }, policy.Answer{}},
		{"another target", func(f *fixture) { f.pause("target:"+other, time.Time{}) }, policy.Answer{}},
		{"run out this instant", func(f *fixture) { f.pause("global", t0) }, policy.Answer{}},
	})
}
