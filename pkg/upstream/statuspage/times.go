package statuspage

import (
	"slices"
	"time"
)

// closed: over, and listed still.
func (i *incident) closed() bool {
	return i.Status == "resolved" || i.Status == "postmortem" || i.Status == "completed"
}

// maintains says whether a maintenance is under way. One that is still `scheduled`
// is so within its announced window alone: the people of a page forget to move it.
func (i *incident) maintains(now time.Time) bool {
	if i.Status != "scheduled" {
		return !i.closed()
	}
	return !i.For.IsZero() && !now.Before(i.For.Time) && now.Before(i.Until.Time)
}

// maintainedSince is when a maintenance began: as announced, or earlier if it was
// moved before that.
func (i *incident) maintainedSince(now time.Time) stamp {
	if !i.For.IsZero() && !i.For.After(now) {
		return i.For
	}
	var began stamp
	for _, u := range i.Updates {
		if u.Status == "in_progress" && !u.Created.IsZero() && (began.IsZero() || u.Created.Before(began.Time)) {
			began = u.Created
		}
	}
	return began
}

// monitoringSince is when an incident was last set to `monitoring`: the earliest
// time that can be trusted; zero if none can. Further updates in monitoring do not
// begin it anew, one in another status does.
func (i *incident) monitoringSince(now time.Time) time.Time {
	updates := slices.Clone(i.Updates)
	slices.SortStableFunc(updates, func(a, b update) int { return b.Created.Compare(a.Created.Time) }) // newest first
	times := []time.Time{i.Updated.Time, i.Monitoring.Time}
	after := i.Created.Time // what is said to be before this was not that
	for _, u := range updates {
		if u.Status != "monitoring" {
			if u.Created.After(after) {
				after = u.Created.Time
			}
			break
		}
		times = append(times, u.Created.Time)
	}
	var since time.Time
	for _, t := range times {
		if t.IsZero() || t.After(now) || t.Before(after) {
			continue
		}
		if since.IsZero() || t.Before(since) {
			since = t
		}
	}
	return since
}
