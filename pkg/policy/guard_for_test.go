package policy_test

import (
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestFor_Evaluate(t *testing.T) {
	fires := func(since, atLeast time.Duration) func(*fixture) {
		return func(f *fixture) {
			f.in.Policy.Settings.For, f.in.Episode.Alert.StartsAt = atLeast, at(-since)
			f.in.Episode.FirstStartsAt, f.in.Episode.FirstSeen = at(-99*time.Hour), at(-99*time.Hour) // not what counts
		}
	}
	resolved := func(ago, said, atLeast time.Duration) func(*fixture) {
		return func(f *fixture) {
			fires(99*time.Hour, atLeast)(f)
			f.in.Policy.On = policy.OnResolved
			f.in.Episode.Open, f.in.Episode.ClosedAt, f.in.Episode.Alert.EndsAt = false, at(-ago), at(-said)
		}
	}
	young := func(what, has, atLeast, until string, lifts time.Duration) policy.Answer {
		return policy.Answer{
			Code: policy.CodeTooYoung, Until: at(lifts),
			Text: "has been " + what + " for " + has + "; the policy waits for " + atLeast + ", until 2026-03-01 " + until,
		}
	}
	runGuard(t, policy.For{}, []guardCase{
		{name: "no minimum"},
		{"no minimum, and it starts in the future", fires(-time.Hour, 0), policy.Answer{}},
		{"just too young", fires(5*minute-1, 5*minute), young("firing", "5m", "5m", "10:00:00Z", 1)},
		{"young", fires(2*minute, 5*minute), young("firing", "2m", "5m", "10:03:00Z", 3*minute)},
		{"old enough this instant", fires(5*minute, 5*minute), policy.Answer{}},
		{"starts in the future: waits its own length", fires(-time.Hour, 5*minute), young("firing", "0s", "5m", "10:05:00Z", 5*minute)},
		{"a person's run", func(f *fixture) { fires(0, 5*minute)(f); f.run() }, policy.Answer{}},
		{"resolved a minute ago", resolved(minute, minute, 10*minute), young("resolved", "1m", "10m", "10:09:00Z", 9*minute)},
		{"resolved long ago, heard of a minute ago", resolved(minute, 10*minute, 10*minute), policy.Answer{}},
		{"resolved in the future by its own word", resolved(minute, -time.Hour, 10*minute), young("resolved", "1m", "10m", "10:09:00Z", 9*minute)},
		{"a policy on resolution of one that fires", func(f *fixture) {
			resolved(0, 0, minute)(f)
			f.in.Episode.Open = true
		}, policy.Answer{}},
	})
}
