package policy

import (
	"slices"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
)

const (
	secondsOfMinute = 60
	secondsOfDay    = 24 * 60 * secondsOfMinute
)

// turns are the whole minutes after from, up to and with to, at which an interval of
// the settings may begin or end, in their order. Between two of them nothing changes,
// so that a storm of refused cases need not look at every minute of the day.
func turns(s Settings, from, to time.Time) []time.Time {
	var at []int64
	for _, list := range [][]Interval{s.Mute, s.Active} {
		for _, i := range list {
			for _, ti := range i.Times {
				at = appendTurns(at, ti, from, to)
			}
		}
	}
	slices.Sort(at)
	out := make([]time.Time, 0, len(at))
	for _, u := range slices.Compact(at) {
		if t := time.Unix(u, 0).UTC(); t.After(from) && !t.After(to) {
			out = append(out, t)
		}
	}
	return out
}

// appendTurns adds, in seconds of Unix time, where one interval may begin or end: the
// midnights and the times of its clock, under each offset that the clock has on the
// way, and where that offset changes. It may add more than there are.
func appendTurns(at []int64, ti timeinterval.TimeInterval, from, to time.Time) []int64 {
	t := from.UTC()
	if ti.Location != nil {
		t = from.In(ti.Location.Location)
	}
	for {
		_, offset := t.Zone()
		day := t.Unix() + int64(offset)
		day -= day % secondsOfDay
		for local := day; local-int64(offset) <= to.Unix(); local += secondsOfDay {
			at = append(at, wholeMinute(local-int64(offset)))
			for _, r := range ti.Times {
				for _, m := range []int{r.StartMinute, r.EndMinute} {
					at = append(at, wholeMinute(local-int64(offset)+int64(m)*secondsOfMinute))
				}
			}
		}
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(to) {
			return at
		}
		at = append(at, wholeMinute(end.Unix()))
		t = end
	}
}

// wholeMinute is the first whole minute that is not before a second: the offsets of
// long ago have seconds.
func wholeMinute(unix int64) int64 {
	return (unix + secondsOfMinute - 1) / secondsOfMinute * secondsOfMinute
}
