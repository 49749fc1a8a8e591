package policy_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// opened makes the episode's alert one that fired anew at each of these times.
func opened(f *fixture, ago ...time.Duration) {
	for i, d := range ago {
		ep := "f-" + strconv.Itoa(i)
		a := alert.Alert{Status: alert.Firing, Fingerprint: "flaps", StartsAt: at(-d), Labels: map[string]string{"alertname": "Flaps"}}
		f.apply(at(-d), audit.Record{Type: audit.AlertFiring, Episode: ep, Alert: &a})
		f.in.Episode, _ = f.l.Episode(ep)
	}
	f.in.Flap = policy.Flap{Changes: 3, Within: hour, Clear: 15 * minute}
}

func flapFixture() *fixture {
	f := newFixture()
	// The fixture's own alert is younger than what the tests record.
	*f = fixture{l: ledger.New(), in: f.in}
	f.in.History = f.l.View(ledger.Live)
	return f
}

func TestFlapping_Evaluate(t *testing.T) {
	flaps := func(n, until string, lifts time.Duration) policy.Answer {
		return policy.Answer{
			Code: policy.CodeFlapping, Until: at(lifts),
			Text: "the alert flaps: it fired anew " + n + " times within 1h (3 are too many); lifts at 2026-03-01 " + until + " unless it fires anew before that (clear 15m)",
		}
	}
	m := func(list ...int) func(*fixture) {
		return func(f *fixture) {
			ago := make([]time.Duration, 0, len(list))
			for _, n := range list {
				ago = append(ago, time.Duration(n)*minute)
			}
			opened(f, ago...)
		}
	}
	for _, c := range []guardCase{
		{name: "nothing is configured"},
		{"once", m(5), policy.Answer{}},
		{"too few", m(10, 5), policy.Answer{}},
		{"enough", m(20, 10, 5), flaps("3", "10:10:00Z", 10*minute)},
		{"enough, but the first has left the window", m(65, 30, 5), policy.Answer{}},
		{"enough within the window", m(64, 30, 5), flaps("3", "10:10:00Z", 10*minute)},
		{"it has calmed down this instant", m(40, 30, 15), policy.Answer{}},
		{"it has all but calmed down", m(40, 30, 14), flaps("3", "10:01:00Z", minute)},
		{"it goes on for hours", m(180, 140, 139, 125, 111, 97, 83, 69, 55, 41, 27, 13), flaps("5", "10:02:00Z", 2*minute)},
		{"a slow one does not begin to flap", m(120, 80, 40, 5), policy.Answer{}},
		{"a person's run", func(f *fixture) { m(20, 10, 5)(f); f.run() }, policy.Answer{}},
		{"it is turned off", func(f *fixture) { m(20, 10, 5)(f); f.in.Flap.Changes = 0 }, policy.Answer{}},
		{"of another alert", func(f *fixture) { m(20, 10, 5)(f); f.in.Episode.Fingerprint = "other" }, policy.Answer{}},
		{"on resolution as well", func(f *fixture) {
			m(20, 10, 5)(f)
			f.in.Policy.On, f.in.Episode.Open = policy.OnResolved, false
		}, flaps("3", "10:10:00Z", 10*minute)},
		{"recorded in the future", m(-30, -31, -32), flaps("3", "10:15:00Z", 15*minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := flapFixture()
			if c.change != nil {
				c.change(f)
			}
			require.Equal(t, c.want, policy.Flapping{}.Evaluate(f.in))
		})
	}
}

// With a short window only the rule that it stays while each follows the one before
// closely keeps it flapping.
func TestFlapping_StaysWhileOneFollowsAnother(t *testing.T) {
	for name, c := range map[string]struct {
		ago   []time.Duration
		flaps bool
	}{
		"it began, and goes on slowly":       {[]time.Duration{32 * minute, 31 * minute, 30 * minute, 18 * minute, 5 * minute}, true},
		"a gap of clear ends it":             {[]time.Duration{32 * minute, 31 * minute, 30 * minute, 15 * minute, 5 * minute}, false},
		"a gap of just under clear does not": {[]time.Duration{32 * minute, 31 * minute, 30 * minute, 15*minute + 1, 5 * minute}, true},
		"it never began":                     {[]time.Duration{31 * minute, 30 * minute, 18 * minute, 5 * minute}, false},
	} {
		f := flapFixture()
		opened(f, c.ago...)
		f.in.Flap.Within = 5 * minute
		a := policy.Flapping{}.Evaluate(f.in)
		require.Equal(t, c.flaps, !a.Allows(), name)
		if c.flaps {
			require.Equal(t, at(10*minute), a.Until, name)
		}
	}
}

func TestFlapping_AWindowOfNothingHoldsOneOpening(t *testing.T) {
	f := flapFixture()
	opened(f, 20*minute, 10*minute, 5*minute)
	f.in.Flap.Within = 0
	require.True(t, policy.Flapping{}.Evaluate(f.in).Allows())
}
