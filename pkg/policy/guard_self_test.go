package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestSelf_Evaluate(t *testing.T) {
	self := func(f *fixture) { f.in.SelfTargets = map[string]bool{"docker:local/remediator": true} }
	refused := policy.Answer{Code: policy.CodeSelf, Text: "docker:local/remediator is remediator itself"}
	runGuard(t, policy.Self{}, []guardCase{
		{"another container", self, policy.Answer{}},
		{"its own container", func(f *fixture) { self(f); f.in.Targets = []string{target, "docker:local/remediator"} }, refused},
		{"its own among those possible", func(f *fixture) { self(f); f.in.Possible = []string{"docker:local/remediator"} }, refused},
	})
}
