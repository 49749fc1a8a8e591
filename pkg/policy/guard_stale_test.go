package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestStale_Evaluate(t *testing.T) {
	first := func(age time.Duration) func(*fixture) {
		return func(f *fixture) { f.in.Episode.FirstStartsAt = f.in.Episode.FirstSeen.Add(-age) }
	}
	ended := func(ago, said time.Duration) func(*fixture) {
		return func(f *fixture) {
			f.in.Policy.On = policy.OnResolved
			f.in.Episode.Open, f.in.Episode.ClosedAt, f.in.Episode.Alert.EndsAt = false, at(-ago), at(-said)
		}
	}
	runGuard(t, policy.Stale{}, []guardCase{
		{name: "fresh"},
		{"as old as allowed", first(4 * time.Hour), policy.Answer{}},
		{
			"older when first seen", first(4*time.Hour + time.Second),
			policy.Answer{Code: policy.CodeStale, Text: "had been firing for 4h1s when first seen, more than max_alert_age 4h"},
		},
		{"seen in time, firing for long since", func(f *fixture) { f.in.Now = at(100 * time.Hour) }, policy.Answer{}},
		{"no limit", func(f *fixture) { first(99 * time.Hour)(f); f.in.Policy.Settings.MaxAlertAge = 0 }, policy.Answer{}},
		{"starts in the future", first(-time.Hour), policy.Answer{}},
		{"first seen by a clock that ran ahead", func(f *fixture) { f.in.Episode.FirstSeen = at(1000 * time.Hour) }, policy.Answer{}},
		{"resolved just now", ended(minute, minute), policy.Answer{}},
		{
			"resolved long ago", ended(5*time.Hour, 5*time.Hour),
			policy.Answer{Code: policy.CodeStale, Text: "resolved 5h ago, more than max_alert_age 4h"},
		},
		{
			"resolved long ago, heard of just now", ended(minute, 5*time.Hour),
			policy.Answer{Code: policy.CodeStale, Text: "resolved 5h ago, more than max_alert_age 4h"},
		},
		{"old, but a person started it", func(f *fixture) { first(99 * time.Hour)(f); f.run() }, policy.Answer{}},
		{"resolved in the future", ended(-time.Hour, -time.Hour), policy.Answer{}},
	})
}
