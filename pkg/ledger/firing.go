package ledger

import "time"

// beginLocked opens an episode, for the first time or again. It and endLocked are
// the only places that do, so that the sets of open ones are always right. The name
// of an episode's alert never changes: it is part of its fingerprint.
func (l *Ledger) beginLocked(e *Episode, name string) {
	e.Open, e.ClosedAt, e.Cause, e.name = true, time.Time{}, "", name
	l.open[e.ID] = e
	if l.named[name] == nil {
		l.named[name] = map[string]*Episode{}
	}
	l.named[name][e.ID] = e
}

// endLocked closes an episode.
func (l *Ledger) endLocked(e *Episode, at time.Time, cause string) {
	e.Open, e.ClosedAt, e.Cause = false, at, cause
	delete(l.open, e.ID)
	if delete(l.named[e.name], e.ID); len(l.named[e.name]) == 0 {
		delete(l.named, e.name)
	}
}

// FiringWhere is the open episode with the earliest start, other than one, for
// which match answers yes. Remediator's own alerts are left out: they are about an
// outage and are none; so are those that a person typed. The ledger is locked meanwhile: match must not ask it. Where
// names are given only alerts of those names are looked at: in a storm of thousands
// each decision asks.
func (v View) FiringWhere(except string, match func(labels map[string]string) bool, names ...string) (Episode, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best *Episode
	look := func(open map[string]*Episode) {
		for _, e := range open {
			if e.ID == except || e.own || e.Origin == OriginRun || best != nil && !e.before(best) {
				continue
			}
			if match(e.Alert.Labels) {
				best = e
			}
		}
	}
	for _, name := range names {
		look(v.l.named[name])
	}
	if len(names) == 0 {
		look(v.l.open)
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
