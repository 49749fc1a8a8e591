package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// odd are clocks that change by an hour, by half of one and by a day, that have an
// offset with seconds, and what they change at.
var odd = map[string][]time.Time{
	"": {time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
	"Europe/Berlin": {
		time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
	},
	"Australia/Lord_Howe": {time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 15, 30, 0, 0, time.UTC)},
	"Pacific/Apia":        {time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC)},
	"Asia/Kathmandu":      {time.Date(2026, 1, 31, 18, 15, 0, 0, time.UTC)},
	"Africa/Monrovia":     {time.Date(1972, 1, 7, 0, 44, 30, 0, time.UTC)},
}

func drawInterval(rt *rapid.T, zone string) policy.Interval {
	var ti timeinterval.TimeInterval
	if zone != "" {
		loc, err := time.LoadLocation(zone)
		require.NoError(rt, err)
		ti.Location = &timeinterval.Location{Location: loc}
	}
	for range rapid.IntRange(0, 3).Draw(rt, "times") {
		from := rapid.IntRange(0, 1439).Draw(rt, "from")
		ti.Times = append(ti.Times, timeinterval.TimeRange{StartMinute: from, EndMinute: rapid.IntRange(from+1, 1440).Draw(rt, "to")})
	}
	span := func(what string, least, most int) timeinterval.InclusiveRange {
		from := rapid.IntRange(least, most).Draw(rt, what)
		return timeinterval.InclusiveRange{Begin: from, End: rapid.IntRange(from, most).Draw(rt, what)}
	}
	if rapid.Bool().Draw(rt, "by weekday") {
		ti.Weekdays = []timeinterval.WeekdayRange{{InclusiveRange: span("weekdays", 0, 6)}}
	}
	if rapid.Bool().Draw(rt, "by day") {
		ti.DaysOfMonth = []timeinterval.DayOfMonthRange{{InclusiveRange: span("days", 1, 31)}}
	}
	return policy.Interval{Name: "i", Times: []timeinterval.TimeInterval{ti}}
}

// It must find what looking at every minute of a day finds, also where clocks change.
func TestTimeInterval_LiftsAsEveryMinuteSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		zone := rapid.SampledFrom([]string{"", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Monrovia"}).Draw(rt, "zone")
		var s policy.Settings
		for range rapid.IntRange(0, 2).Draw(rt, "mute") {
			s.Mute = append(s.Mute, drawInterval(rt, zone))
		}
		for range rapid.IntRange(0, 2).Draw(rt, "active") {
			s.Active = append(s.Active, drawInterval(rt, rapid.SampledFrom([]string{"", zone}).Draw(rt, "zone")))
		}
		now := rapid.SampledFrom(odd[zone]).Draw(rt, "change").
			Add(time.Duration(rapid.IntRange(-36*3600, 12*3600).Draw(rt, "seconds")) * time.Second)
		in := &policy.Input{Now: now, Policy: &policy.Policy{Settings: s}}
		want := now.Add(24 * time.Hour)
		for m := now.Truncate(minute).Add(minute); !m.After(want); m = m.Add(minute) {
			if acts(s, m) {
				want = m
			}
		}
		got := policy.TimeInterval{}.Evaluate(in)
		if acts(s, now) {
			require.True(rt, got.Allows())
			return
		}
		require.Equal(rt, policy.CodeTimeInterval, got.Code)
		require.True(rt, want.Equal(got.Until), "%s, want %s", got.Text, want)
	})
}

// acts says the same as the guard, for one moment.
func acts(s policy.Settings, t time.Time) bool {
	in := func(list []policy.Interval) bool {
		for _, i := range list {
			for _, ti := range i.Times {
				if ti.ContainsTime(t.UTC()) {
					return true
				}
			}
		}
		return false
	}
	return !in(s.Mute) && (len(s.Active) == 0 || in(s.Active))
}

// muted is a policy that a storm of cases waits for: many intervals in a zone of
// their own, none of which ends within a day.
func muted() *policy.Policy {
	p := &policy.Policy{}
	for i := range 4 {
		i := hours(fmt.Sprint(i), "Europe/Berlin", 0, 1440)
		i.Times[0].Weekdays = []timeinterval.WeekdayRange{{InclusiveRange: timeinterval.InclusiveRange{Begin: 0, End: 6}}}
		p.Settings.Mute = append(p.Settings.Mute, i, hours("lunch", "Europe/Berlin", 720, 780))
	}
	return p
}

func TestTimeInterval_TenThousandCasesAreQuick(t *testing.T) {
	in := &policy.Input{Now: at(0), Policy: muted()}
	begin := time.Now()
	for range 10_000 {
		require.False(t, policy.TimeInterval{}.Evaluate(in).Allows())
	}
	took := time.Since(begin)
	t.Logf("10,000 refused cases: %s", took)
	require.Less(t, took, 3*time.Second)
}

func BenchmarkTimeInterval_Refused(b *testing.B) {
	in := &policy.Input{Now: at(0), Policy: muted()}
	b.ReportAllocs()
	for b.Loop() {
		policy.TimeInterval{}.Evaluate(in)
	}
}
