package policy

import (
	"fmt"
	"strings"
	"time"
)

// TimeInterval keeps a policy to its hours: active_time_intervals and
// mute_time_intervals, as in Alertmanager's routes.
type TimeInterval struct{}

// liftsWithin is how far ahead the end of an interval is looked for.
const liftsWithin = 24 * time.Hour

// Name of the guard.
func (TimeInterval) Name() string { return "time_interval" }

// Evaluate refuses inside a mute interval, and outside all active ones where there
// are some.
func (TimeInterval) Evaluate(in *Input) Answer {
	why := outOfHours(in.Policy.Settings, in.Now)
	if why == "" {
		return Answer{}
	}
	for _, t := range turns(in.Policy.Settings, in.Now, in.Now.Add(liftsWithin)) {
		if outOfHours(in.Policy.Settings, t) == "" {
			return Answer{Code: CodeTimeInterval, Until: t, Text: why + "; lifts at " + clock(t)}
		}
	}
	until := in.Now.Add(liftsWithin)
	return Answer{Code: CodeTimeInterval, Until: until, Text: why + "; does not lift within " + span(liftsWithin)}
}

// outOfHours is why a policy does not act at a time, "" when it does.
func outOfHours(s Settings, t time.Time) string {
	for _, i := range s.Mute {
		if i.contains(t) {
			return fmt.Sprintf("inside mute_time_interval %q", i.Name)
		}
	}
	if len(s.Active) == 0 {
		return ""
	}
	names := make([]string, 0, len(s.Active))
	for _, i := range s.Active {
		if i.contains(t) {
			return ""
		}
		names = append(names, fmt.Sprintf("%q", i.Name))
	}
	return "outside active_time_intervals " + strings.Join(names, ", ")
}

// contains says whether a time lies in the interval. Each part has its own location;
// one without is in UTC.
func (i Interval) contains(t time.Time) bool {
	for _, ti := range i.Times {
		if ti.ContainsTime(t.UTC()) {
			return true
		}
	}
	return false
}
