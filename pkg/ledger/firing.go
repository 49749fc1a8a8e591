package ledger

import "time"

// beginLocked opens an episode, for the first time or again. It and endLocked are
// the only places that do, so that the set of open ones is always right.
func (l *Ledger) beginLocked(e *Episode) {
	e.Open, e.ClosedAt, e.Cause = true, time.Time{}, ""
	l.open[e.ID] = e
}

// endLocked closes an episode.
func (l *Ledger) endLocked(e *Episode, at time.Time, cause string) {
	e.Open, e.ClosedAt, e.Cause = false, at, cause
	delete(l.open, e.ID)
}

// FiringWhere is the open episode with the earliest start, other than one, for
// which match answers yes. Remediator's own alerts are left out: they are about an
// outage and are none. The ledger is locked meanwhile: match must not ask it.
func (v View) FiringWhere(except string, match func(labels map[string]string) bool) (Episode, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best *Episode
	for _, e := range v.l.open {
		if e.ID == except || e.own || best != nil && !e.before(best) {
			continue
		}
		if match(e.Alert.Labels) {
			best = e
		}
	}
	if best == nil {
		return Episode{}, false
	}
	return best.copy(), true
}

// before says whether an episode started before another; equal ones go by id.
func (e *Episode) before(o *Episode) bool {
	if c := e.Alert.StartsAt.Compare(o.Alert.StartsAt); c != 0 {
		return c < 0
	}
	return e.ID < o.ID
}

// OpenEpisodes is how many episodes are open.
func (l *Ledger) OpenEpisodes() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.open)
}
