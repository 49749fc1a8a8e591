package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestResolvedAlert_Evaluate(t *testing.T) {
	resolve := func(f *fixture) { f.in.Episode.Open, f.in.Episode.ClosedAt = false, at(-minute) }
	onResolved := func(f *fixture) { f.in.Policy.On = policy.OnResolved }
	resolved := policy.Answer{Code: policy.CodeResolved, Text: "the alert is resolved; the policy acts on firing alerts"}
	runGuard(t, policy.ResolvedAlert{}, []guardCase{
		{name: "fires, acts on firing"},
		{"resolved, acts on firing", resolve, resolved},
		{"resolved, says nothing about when it acts", func(f *fixture) { resolve(f); f.in.Policy.On = "" }, resolved},
		{
			"fires, acts on resolution", onResolved,
			policy.Answer{Code: policy.CodeResolved, Text: "the alert fires (since 2026-03-01 09:55:00Z); the policy acts once it is resolved"},
		},
		{"resolved, acts on resolution", func(f *fixture) {
			f.in.Episode.Fingerprint = "gone"
			resolve(f)
			onResolved(f)
		}, policy.Answer{}},
		{"resolved, but a newer episode fires", func(f *fixture) {
			resolve(f)
			onResolved(f)
			f.firing(at(-minute), "e-2", "fp")
		}, policy.Answer{Code: policy.CodeResolved, Text: "the alert fires (since 2026-03-01 09:59:00Z); the policy acts once it is resolved"}},
	})
}
