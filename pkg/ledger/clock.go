package ledger

import "time"

// skew is how far records may run behind each other (replicas, small corrections)
// before the clock counts as set back.
const skew = time.Second

// clockLocked notes a record's time. A clock that is set back shows that earlier
// records were written in the future: their times become the present one, once and
// for all, so that what waits for them waits its own length and no longer (design
// §5, store trouble).
func (l *Ledger) clockLocked(now time.Time) {
	if l.floor.IsZero() || now.Before(l.floor) {
		l.floor = now
	}
	if now.Add(skew).Before(l.newest) {
		l.clampLocked(now)
		l.newest = now
	}
	if now.After(l.newest) {
		l.newest = now
	}
}

// Clock tells the ledger the present time; call it before deciding. A journal keeps
// its order by never writing an earlier time than its last, so that after a clock
// was set back all its records lie in the future for a while: seen from now they
// happened now, and waits end as they should. With a sound clock it does nothing.
func (l *Ledger) Clock(now time.Time) {
	l.mu.RLock()
	behind := now.Add(skew).Before(l.newest)
	l.mu.RUnlock()
	if !behind {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clampLocked(now)
	l.newest = now
}

// clamp is the present time, which no time that is remembered may exceed.
type clamp time.Time

func (c clamp) times(ts ...*time.Time) {
	for _, t := range ts {
		if t.After(time.Time(c)) {
			*t = time.Time(c)
		}
	}
}

func (l *Ledger) clampLocked(now time.Time) {
	c := clamp(now)
	for _, e := range l.episodes {
		c.times(&e.FirstSeen, &e.LastWebhook, &e.ClosedAt)
	}
	for _, r := range l.rems {
		c.times(&r.OpenedAt, &r.ClosedAt)
		r.Approval.clamp(c)
		for i := range r.Intents {
			c.times(&r.Intents[i].Started, &r.Intents[i].Finished)
		}
	}
	for _, list := range l.uses {
		for _, u := range list {
			c.times(&u.first, &u.last)
		}
	}
	for scope, p := range l.pauses {
		c.times(&p.Since)
		l.pauses[scope] = p
	}
	for t, q := range l.quarantines {
		c.times(&q.Since)
		l.quarantines[t] = q
	}
	l.openings.clamp(c)
	l.streaks.clamp(c)
	l.stops.clamp(c)
	l.upstreams.clamp(c)
}
