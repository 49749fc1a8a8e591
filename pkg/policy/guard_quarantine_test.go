package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestQuarantine_Evaluate(t *testing.T) {
	left := func(mode, tgt string) func(*fixture) {
		return func(f *fixture) {
			f.apply(at(-2*minute), audit.Record{
				Type: audit.RemediationClosed, Remediation: "r-1", Policy: "Q", Outcome: "failed", Mode: mode,
				Reason: &audit.Reason{Code: "step", Text: "half restored"}, Data: audit.JSON(map[string]any{"quarantined": []string{tgt}}),
			})
		}
	}
	refused := func(tgt string) policy.Answer {
		return policy.Answer{Code: policy.CodeQuarantined, Text: tgt + " is in quarantine since 2026-03-01 09:58:00Z, by remediation r-1 of policy \"Q\" " +
			"(remediation r-1 of policy Q ended failed: half restored); once it is sound: remediator clear " + tgt}
	}
	runGuard(t, policy.Quarantine{}, []guardCase{
		{name: "none"},
		{"a target", left("live", target), refused(target)},
		{"a target that only might be touched", func(f *fixture) {
			left("live", other)(f)
			f.in.Possible = []string{target, other}
		}, refused(other)},
		{"a target that is certain, and none is possible", func(f *fixture) {
			left("live", other)(f)
			f.in.Targets, f.in.Possible = []string{target, other}, nil
		}, refused(other)},
		{"another target", left("live", other), policy.Answer{}},
		{"a rehearsal leaves nothing", left("dry-run", target), policy.Answer{}},
		{"its own remediation too", func(f *fixture) { left("live", target)(f); f.in.Remediation = "r-1" }, refused(target)},
		{"cleared", func(f *fixture) {
			left("live", target)(f)
			f.apply(at(-minute), audit.Record{Type: audit.ControlCleared, Target: target, Actor: "user:alice"})
		}, policy.Answer{}},
	})
}
