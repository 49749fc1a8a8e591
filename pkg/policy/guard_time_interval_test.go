package policy_test

import (
	"testing"
	"time"
	_ "time/tzdata" // Berlin, wherever the test runs

	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// hours is an interval of minutes of the day.
func hours(name, zone string, from, to int) policy.Interval {
	ti := timeinterval.TimeInterval{Times: []timeinterval.TimeRange{{StartMinute: from, EndMinute: to}}}
	if zone != "" {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			panic(err)
		}
		ti.Location = &timeinterval.Location{Location: loc}
	}
	return policy.Interval{Name: name, Times: []timeinterval.TimeInterval{ti}}
}

func TestTimeInterval_Evaluate(t *testing.T) {
	mute := func(is ...policy.Interval) func(*fixture) {
		return func(f *fixture) { f.in.Policy.Settings.Mute = is }
	}
	active := func(is ...policy.Interval) func(*fixture) {
		return func(f *fixture) { f.in.Policy.Settings.Active = is }
	}
	refused := func(text string, until time.Duration) policy.Answer {
		return policy.Answer{Code: policy.CodeTimeInterval, Text: text, Until: at(until)}
	}
	ten := 10 * 60 // now is a Sunday, 10:00 UTC, 11:00 in Berlin
	weekdays := policy.Interval{Name: "weekdays", Times: []timeinterval.TimeInterval{{Weekdays: []timeinterval.WeekdayRange{
		{InclusiveRange: timeinterval.InclusiveRange{Begin: 1, End: 5}},
	}}}}
	sunday := policy.Interval{Name: "sunday", Times: []timeinterval.TimeInterval{{Weekdays: []timeinterval.WeekdayRange{
		{InclusiveRange: timeinterval.InclusiveRange{Begin: 0, End: 0}},
	}}}}
	always := policy.Interval{Name: "always", Times: []timeinterval.TimeInterval{{}}}
	runGuard(t, policy.TimeInterval{}, []guardCase{
		{name: "no intervals"},
		{"muted", mute(hours("lunch", "", ten, ten+90)), refused(`inside mute_time_interval "lunch"; lifts at 2026-03-01 11:30:00Z`, 90*minute)},
		{"its end does not belong to it", mute(hours("night", "", 0, ten)), policy.Answer{}},
		{"muted in the interval's own zone", mute(hours("lunch", "Europe/Berlin", ten+60, ten+90)), refused(`inside mute_time_interval "lunch"; lifts at 2026-03-01 10:30:00Z`, 30*minute)},
		{"the zone of now does not count", func(f *fixture) {
			mute(hours("lunch", "", ten+60, ten+90))(f)
			f.in.Now = f.in.Now.In(time.FixedZone("east", 3600))
		}, policy.Answer{}},
		{"outside a muted one in another zone", mute(hours("lunch", "Europe/Berlin", ten, ten+60)), policy.Answer{}},
		{"inside the second of two", mute(hours("night", "", 0, ten), hours("lunch", "", ten, ten+1)), refused(`inside mute_time_interval "lunch"; lifts at 2026-03-01 10:01:00Z`, minute)},
		{"one mutes after the other", mute(hours("a", "", ten, ten+10), hours("b", "", ten+10, ten+20)), refused(`inside mute_time_interval "a"; lifts at 2026-03-01 10:20:00Z`, 20*minute)},
		{"active now", active(hours("office", "", ten, ten+60)), policy.Answer{}},
		{"active in one of two", active(hours("night", "", 0, ten), hours("office", "", ten, ten+60)), policy.Answer{}},
		{
			"outside all active ones", active(hours("night", "", 0, ten), hours("office", "", ten+120, ten+180)),
			refused(`outside active_time_intervals "night", "office"; lifts at 2026-03-01 12:00:00Z`, 2*time.Hour),
		},
		{"active, and muted: muted wins", func(f *fixture) {
			active(always)(f)
			mute(hours("lunch", "", ten, ten+30))(f)
		}, refused(`inside mute_time_interval "lunch"; lifts at 2026-03-01 10:30:00Z`, 30*minute)},
		{"it becomes active while it is muted", func(f *fixture) {
			active(hours("office", "", ten+10, ten+40), hours("late", "", ten+60, ten+70))(f)
			mute(hours("lunch", "", ten+10, ten+40))(f)
		}, refused(`outside active_time_intervals "office", "late"; lifts at 2026-03-01 11:00:00Z`, time.Hour)},
		{"over midnight until Monday", active(weekdays), refused(`outside active_time_intervals "weekdays"; lifts at 2026-03-02 00:00:00Z`, 14*time.Hour)},
		{"all Sunday, and the morning after until now", mute(sunday, hours("morning", "", 0, ten)), refused(`inside mute_time_interval "sunday"; lifts at 2026-03-02 10:00:00Z`, 24*time.Hour)},
		{
			"one minute more than a day", mute(sunday, hours("morning", "", 0, ten+1)),
			refused(`inside mute_time_interval "sunday"; does not lift within 1d`, 24*time.Hour),
		},
		{"for ever", mute(always), refused(`inside mute_time_interval "always"; does not lift within 1d`, 24*time.Hour)},
		{"an active one without any times is never", active(policy.Interval{Name: "none"}), refused(`outside active_time_intervals "none"; does not lift within 1d`, 24*time.Hour)},
	})
}

func TestTimeInterval_LiftsWithTheMinute(t *testing.T) {
	f := newFixture()
	f.in.Policy.Settings.Mute = []policy.Interval{hours("lunch", "", 600, 630)}
	f.in.Now = at(29*minute + 59*time.Second)
	a := policy.TimeInterval{}.Evaluate(f.in)
	require.Equal(t, at(30*minute), a.Until)
	f.in.Now = a.Until
	require.True(t, policy.TimeInterval{}.Evaluate(f.in).Allows())
}
