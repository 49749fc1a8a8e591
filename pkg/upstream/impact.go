package upstream

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Kinds of events.
const (
	KindIncident    = "incident"
	KindMaintenance = "maintenance"
	KindComponent   = "component"
)

// maxEvents are kept of one answer: a page that lists hundreds must not fill the journal.
const maxEvents = 20

// ImpactRank orders impacts from none (0) to critical. A word that is not known is
// as bad as critical: unknown is not yes.
func ImpactRank(impact string) int {
	switch impact {
	case ImpactNone:
		return 0
	case ImpactMaintenance:
		return 1
	case ImpactMinor:
		return 2
	case ImpactMajor:
		return 3
	default:
		return 4
	}
}

// worst impact of the events; "" of none.
func worst(events []Event) string {
	if len(events) == 0 {
		return ""
	}
	return slices.MaxFunc(events, func(a, b Event) int {
		return cmp.Compare(ImpactRank(a.Impact), ImpactRank(b.Impact))
	}).Impact
}

// stateOf events that count: maintenance where all of them are.
func stateOf(events []Event) State {
	for _, e := range events {
		if e.Kind != KindMaintenance && e.Impact != ImpactMaintenance {
			return Incident
		}
	}
	if len(events) > 0 {
		return Maintenance
	}
	return Operational
}

// ordered gives the events as they are recorded and told: incidents first, then
// maintenance, then components, the worst of each first, and no more than maxEvents.
func ordered(events []Event) []Event {
	kinds := []string{KindIncident, KindMaintenance, KindComponent}
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b Event) int {
		return cmp.Or(
			cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(ImpactRank(b.Impact), ImpactRank(a.Impact)),
			strings.Compare(a.ID, b.ID), strings.Compare(a.Name, b.Name), strings.Compare(a.Status, b.Status))
	})
	return out[:min(len(out), maxEvents)]
}

// sameEvents says whether a record of one would say what a record of the other says:
// the same events, in the same status, with the same impact.
func sameEvents(a, b []Event) bool {
	return slices.EqualFunc(a, b, func(x, y Event) bool {
		return x.Kind == y.Kind && x.ID == y.ID && x.Status == y.Status && x.Impact == y.Impact && (x.ID != "" || x.Name == y.Name)
	})
}

// began is the earliest beginning that an event tells, now where none does, and
// never later than now.
func began(events []Event, now time.Time) time.Time {
	first := now
	for _, e := range events {
		if !e.Began.IsZero() && e.Began.Before(first) {
			first = e.Began
		}
	}
	return first
}
