package ledger

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// View is history as decisions of one mode read it. Live decisions read live
// history only; dry-run decisions also read what was planned (design §5, dry run).
type View struct {
	l    *Ledger
	mode string
}

// View of the history for a mode.
func (l *Ledger) View(mode string) View { return View{l: l, mode: mode} }

// Effect is an effect on a target, or in dry run a planned one.
type Effect struct {
	Time        time.Time
	Remediation string
	Policy      string
	Planned     bool
}

func (v View) planned() bool { return v.mode == DryRun }

// LastEffect is the newest effect on a target that another remediation than self
// had, by the time it ended; one that has not ended counts from its start.
func (v View) LastEffect(target, self string) (Effect, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best Effect
	v.l.uses.since(target, v.planned(), time.Time{}, func(u *use) bool {
		if u.remediation != self && u.last.After(best.Time) {
			best = Effect{Time: u.last, Remediation: u.remediation, Policy: u.policy, Planned: u.planned}
		}
		// Further back only what the skew between replicas may have misplaced.
		return best.Time.IsZero() || !u.last.Add(skew).Before(best.Time)
	})
	return best, !best.Time.IsZero()
}

// Effects are the times at which other remediations than self last had an effect
// on the target ("" for any target) after since, each remediation once, oldest
// first. The last effect counts, by its end: so no window holds more remediations
// with an effect than a limit that was asked before each.
func (v View) Effects(target, self string, since time.Time) []time.Time {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	last := map[string]time.Time{}
	v.l.uses.since(target, v.planned(), since, func(u *use) bool {
		if u.remediation != self && u.last.After(last[u.remediation]) {
			last[u.remediation] = u.last
		}
		return true
	})
	return slices.SortedFunc(maps.Values(last), time.Time.Compare)
}

// HadEffect says whether a remediation has had an effect: then it already counts
// as one among all.
func (v View) HadEffect(remediation string) bool {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	r := v.l.rems[remediation]
	return r != nil && r.HadEffect()
}

// LastSuccess is the newest remediation of a policy that ended well on a target.
func (v View) LastSuccess(policy, target, self string) (Effect, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best Effect
	for _, planned := range []bool{false, true} {
		if planned && !v.planned() {
			continue
		}
		list := v.l.wins[winKey{policy, target, planned}]
		for _, r := range slices.Backward(list) {
			if r.ClosedAt.Add(skew).Before(best.Time) {
				break
			}
			if r.ID != self && r.ClosedAt.After(best.Time) {
				best = Effect{Time: r.ClosedAt, Remediation: r.ID, Policy: policy, Planned: planned}
			}
		}
	}
	return best, !best.Time.IsZero()
}

// Attempts of a policy on an episode: remediations with an intent, closed or not,
// along the episode's lineage. Planned ones and those that a graceful stop
// interrupted do not count.
func (v View) Attempts(policy, episode, self string) int {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	n := 0
	for _, r := range v.l.lineageLocked(policy, episode) {
		if r.ID != self && r.HadEffect() && !r.Shutdown {
			n++
		}
	}
	return n
}

// lineageLocked are the remediations of a policy on the episode and on those it
// follows, oldest first.
func (l *Ledger) lineageLocked(policy, episode string) []*Remediation {
	e := l.episodes[episode]
	if e == nil {
		return nil
	}
	return l.lines[lineKey{policy, e.Lineage}]
}

// Firing is the open episode of a fingerprint, if there is one.
func (v View) Firing(fingerprint string) (Episode, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	e := v.l.latest[fingerprint]
	if e == nil || !e.Open {
		return Episode{}, false
	}
	return e.copy(), true
}

// Pause is one scope that a person paused.
type Pause struct {
	Scope  string // "global", "policy:NAME" or "target:NAME"
	Reason string
	Actor  string
	Since  time.Time
	Until  time.Time // zero: until resumed
}

// PauseData is the data of control.paused and control.resumed.
type PauseData struct {
	Scope  string    `json:"scope"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

func (l *Ledger) controlLocked(r *audit.Record) {
	if r.Remediation != "" { // a held remediation was resumed
		if rem := l.rems[r.Remediation]; rem != nil && rem.State == Held {
			rem.State = Running
		}
		return
	}
	var d PauseData
	if json.Unmarshal(r.Data, &d) != nil || d.Scope == "" {
		return
	}
	if r.Type == audit.ControlResumed {
		delete(l.pauses, d.Scope)
		return
	}
	l.pauses[d.Scope] = Pause{Scope: d.Scope, Reason: d.Reason, Actor: r.Actor, Since: r.Time.Time, Until: d.Until}
}

// Paused is the pause that stands in the way of a policy on targets, if any.
func (v View) Paused(now time.Time, policy string, targets []string) (Pause, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	scopes := []string{"global", "policy:" + policy}
	for _, t := range targets {
		scopes = append(scopes, "target:"+t)
	}
	for _, s := range scopes {
		if p, ok := v.l.pauses[s]; ok && (p.Until.IsZero() || now.Before(p.Until)) {
			return p, true
		}
	}
	return Pause{}, false
}

// Pauses are all pauses in force.
func (l *Ledger) Pauses(now time.Time) []Pause {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Pause
	keep := func(p Pause) bool { return p.Until.IsZero() || now.Before(p.Until) }
	out = append(out, sorted(l.pauses, keep, func(a, b Pause) int { return a.Since.Compare(b.Since) })...)
	return out
}
