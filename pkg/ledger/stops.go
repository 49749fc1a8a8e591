package ledger

import (
	"slices"
	"time"
)

// StopSeen is the data of a decision that found a person's stop: it is remembered
// when Docker's events are long gone.
type StopSeen struct {
	Target    string    `json:"target"`
	Container string    `json:"container"`
	At        time.Time `json:"at"`
}

// startSlack is how long before the record of an intent its effect may seem to
// have begun: the engine's clock and ours are not the same.
const startSlack = time.Second

// lostEffect is how long an effect whose result nobody saw may have stopped a
// container: Docker's patience with one that is to stop, and some. What was stopped
// while remediator was away is a person's, not its own.
const lostEffect = 45 * time.Second

// sameStop is how far two accounts of one stop may lie apart.
const sameStop = time.Second

type stopKey struct{ target, container string }

// stop is one stop by a person. Its own time is Docker's word and tells it from
// others, so that no clock of ours changes it.
type stop struct {
	at, seen time.Time
}

type stops map[stopKey][]stop

func (ss stops) add(found []StopSeen, now time.Time) {
	for _, s := range found {
		k := stopKey{s.Target, s.Container}
		if i := ss.index(s); i >= 0 {
			ss[k][i].seen = now
		} else {
			ss[k] = append(ss[k], stop{at: s.At, seen: now})
		}
	}
}

func (ss stops) index(s StopSeen) int {
	return slices.IndexFunc(ss[stopKey{s.Target, s.Container}], func(k stop) bool {
		return s.At.Sub(k.at).Abs() <= sameStop
	})
}

func (ss stops) clamp(c clamp) {
	for _, list := range ss {
		for i := range list {
			c.times(&list[i].seen)
		}
	}
}

// PersonStopped says whether a stop is known to be a person's.
func (v View) PersonStopped(s StopSeen) bool {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	return v.l.stops.index(s) >= 0
}

// LastPersonStop is the newest stop of a target's containers that is known to be a
// person's.
func (v View) LastPersonStop(target string) (StopSeen, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best StopSeen
	for k, list := range v.l.stops {
		for _, s := range list {
			if k.target == target && s.at.After(best.At) {
				best = StopSeen{Target: target, Container: k.container, At: s.at}
			}
		}
	}
	return best, !best.At.IsZero()
}

// Ours says whether an intent of ours on the target was under way at a time, or
// had ended less than slack before. An intent whose result nobody saw was under way
// for lostEffect: a person's stop must not pass for ours.
// asking is the remediation that asks: an intent of its own that has no result has
// not begun yet, and stopped nothing.
func (v View) Ours(target string, at time.Time, slack time.Duration, asking string) bool {
	if target == "" {
		return false
	}
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	return slices.ContainsFunc(v.l.uses[useKey{target, false}], func(u *use) bool {
		rem := v.l.rems[u.remediation]
		if rem != nil && rem.Mode == DryRun || u.open && u.remediation == asking || u.first.Add(-startSlack).After(at) {
			return false
		}
		end := u.last
		switch {
		case u.lost || u.open && rem != nil && rem.State == Closed:
			end = u.first.Add(lostEffect)
		case u.open:
			return true
		}
		return !at.After(end.Add(slack))
	})
}
