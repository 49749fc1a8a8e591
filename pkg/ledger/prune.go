package ledger

import (
	"slices"
	"time"
)

// pruneLocked forgets what no guard can ask about any more. A lineage is kept whole
// while one of its episodes is: an alert that fires for weeks keeps its attempts.
func (l *Ledger) pruneLocked(before time.Time) {
	kept := map[string]bool{}
	for _, e := range l.episodes {
		if e.Open || e.ClosedAt.After(before) {
			kept[e.Lineage] = true
		}
	}
	for _, r := range l.rems {
		for _, id := range r.Episodes {
			if e := l.episodes[id]; e != nil && r.State != Closed {
				kept[e.Lineage] = true
			}
		}
	}
	for id, e := range l.episodes {
		if kept[e.Lineage] {
			continue
		}
		delete(l.episodes, id)
		if l.latest[e.Fingerprint] == e {
			delete(l.latest, e.Fingerprint)
		}
	}
	gone := l.pruneRemediationsLocked(before)
	forget(l.wins, gone)
	forget(l.lines, gone)
	// An effect that is under way has no end yet.
	forget(l.uses, func(u *use) bool {
		return u.last.Before(before) && (!u.open || l.rems[u.remediation] == nil)
	})
	forget(l.openings, func(t time.Time) bool { return t.Before(before) })
	forget(l.stops, func(s stop) bool { return s.seen.Before(before) })
	l.streaks.prune(gone)
}

// pruneRemediationsLocked forgets remediations that no remembered episode had, and
// says which.
func (l *Ledger) pruneRemediationsLocked(before time.Time) func(*Remediation) bool {
	gone := map[*Remediation]bool{}
	for id, r := range l.rems {
		remembered := slices.ContainsFunc(r.Episodes, func(e string) bool { return l.episodes[e] != nil })
		if r.State == Closed && r.ClosedAt.Before(before) && !remembered {
			delete(l.rems, id)
			gone[r] = true
		}
	}
	return func(r *Remediation) bool { return gone[r] }
}
