package policy_test

import (
	"testing"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestStormBrake_Evaluate(t *testing.T) {
	storm := func(change func(*policy.Input)) func(*fixture) {
		return func(f *fixture) {
			f.in.StormUntil, f.in.StormText, f.in.Policy.Severity = at(3*minute), "80 new alerts", "P2"
			if change != nil {
				change(f.in)
			}
		}
	}
	refused := policy.Answer{Code: policy.CodeStorm, Until: at(3 * minute), Text: "80 new alerts"}
	runGuard(t, policy.StormBrake{}, []guardCase{
		{name: "calm"},
		{"a storm", storm(nil), refused},
		{"of no severity", storm(func(in *policy.Input) { in.Policy.Severity = "" }), refused},
		{"P1 is never deferred", storm(func(in *policy.Input) { in.Policy.Severity = "P1" }), policy.Answer{}},
		{"over this instant", storm(func(in *policy.Input) { in.StormUntil = in.Now }), policy.Answer{}},
		{"a person's run", storm(func(in *policy.Input) { in.Episode.Origin = ledger.OriginRun }), policy.Answer{}},
		{"an upstream's state", storm(func(in *policy.Input) { in.Episode.Origin = ledger.OriginUpstream }), policy.Answer{}},
	})
}
