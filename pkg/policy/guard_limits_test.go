package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestLimits_Evaluate(t *testing.T) {
	used := func(tgt string, ago ...time.Duration) func(*fixture) {
		return func(f *fixture) {
			for i, d := range ago {
				f.worked(at(-d), string(rune('a'+i))+"-1", "Q", tgt, "failed")
			}
		}
	}
	perTarget := policy.Answer{
		Code: policy.CodeRateLimit, Until: at(20 * minute),
		Text: "docker:local/a: 3 remediations in the last 1h, limit is 3; lifts at 2026-03-01T10:20:00Z",
	}
	runGuard(t, policy.Limits{}, []guardCase{
		{name: "none yet"},
		{"below", used(target, 50*minute, 40*minute), policy.Answer{}},
		{"reached, whichever policy", used(target, 40*minute, 30*minute, 20*minute), perTarget},
		{"the oldest left the window", used(target, 60*minute, 30*minute, 20*minute), policy.Answer{}},
		{
			"more than allowed by now: enough of them must leave", used(target, 50*minute, 40*minute, 30*minute, 20*minute),
			policy.Answer{
				Code: policy.CodeRateLimit, Until: at(20 * minute),
				Text: "docker:local/a: 4 remediations in the last 1h, limit is 3; lifts at 2026-03-01T10:20:00Z",
			},
		},
		{"another target", used(other, 40*minute, 30*minute, 20*minute), policy.Answer{}},
		{
			"all targets together", func(f *fixture) {
				used(other, 40*minute)(f)
				f.in.GlobalLimits = []policy.Limit{{Max: 1, Per: time.Hour}}
			},
			policy.Answer{
				Code: policy.CodeRateLimit, Until: at(20 * minute),
				Text: "all targets together: 1 remediations in the last 1h, global limit is 1; lifts at 2026-03-01T10:20:00Z",
			},
		},
		{"one that counts already is not counted again", func(f *fixture) {
			used(other, 40*minute)(f)
			f.worked(at(-minute), "r-1", "P", other, "")
			f.in.GlobalLimits, f.in.Remediation = []policy.Limit{{Max: 1, Per: time.Hour}}, "r-1"
		}, policy.Answer{}},
		{"the limit that lifts last", func(f *fixture) {
			used(target, 40*minute)(f)
			f.in.Policy.Settings.Limits = []policy.Limit{{Max: 1, Per: 2 * time.Hour}, {Max: 1, Per: time.Hour}}
		}, policy.Answer{
			Code: policy.CodeRateLimit, Until: at(80 * minute),
			Text: "docker:local/a: 1 remediations in the last 2h, limit is 1; lifts at 2026-03-01T11:20:00Z",
		}},
		{"zero allows nothing", func(f *fixture) {
			used(target, 40*minute, 30*minute, 20*minute)(f)
			f.in.Policy.Settings.Limits = append(f.in.Policy.Settings.Limits, policy.Limit{Max: 0, Per: time.Hour})
		}, policy.Answer{Code: policy.CodeRateLimit, Text: "docker:local/a: limit is 0 per 1h: nothing is allowed"}},
		{"nothing is changed", func(f *fixture) { used(target, 40*minute, 30*minute, 20*minute)(f); f.in.Targets = nil }, policy.Answer{}},
	})
}

func TestLimits_LiftWhenTheySay(t *testing.T) {
	f := newFixture()
	for i, ago := range []time.Duration{40 * minute, 30 * minute, 20 * minute} {
		f.worked(at(-ago), string(rune('a'+i))+"-1", "Q", target, "failed")
	}
	until := policy.Limits{}.Evaluate(f.in).Until
	f.in.Now = until.Add(-1)
	require.False(t, policy.Limits{}.Evaluate(f.in).Allows())
	f.in.Now = until
	require.True(t, policy.Limits{}.Evaluate(f.in).Allows())
}
