package ledger

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
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

func (v View) counts(u use) bool { return !u.planned || v.mode == DryRun }

// LastEffect is the newest effect on a target that another remediation than self had.
func (v View) LastEffect(target, self string) (Effect, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best Effect
	for _, u := range v.l.uses {
		if u.target == target && u.remediation != self && v.counts(u) && u.last.After(best.Time) {
			best = Effect{Time: u.last, Remediation: u.remediation, Policy: u.policy, Planned: u.planned}
		}
	}
	return best, !best.Time.IsZero()
}

// Effects are the times at which other remediations than self first had an effect
// on the target ("" for any target) after since, each remediation once, oldest first.
func (v View) Effects(target, self string, since time.Time) []time.Time {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	first := map[string]time.Time{}
	for _, u := range v.l.uses {
		if (target != "" && u.target != target) || u.remediation == self || !v.counts(u) {
			continue
		}
		// The latest effect counts: a limit is never exceeded in any window.
		if t, ok := first[u.remediation]; !ok || u.first.After(t) {
			first[u.remediation] = u.first
		}
	}
	var out []time.Time
	for _, t := range first {
		if t.After(since) {
			out = append(out, t)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Before(out[j]) })
	return out
}

// settles says which outcomes start the settle time (design §5, deciding again).
func settles(outcome string) bool {
	return slices.Contains([]string{"succeeded", "unverified", "partial", "planned"}, outcome)
}

// LastSuccess is the newest remediation of a policy that ended well on a target.
func (v View) LastSuccess(policy, target, self string) (Effect, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	var best Effect
	for _, r := range v.l.rems {
		if r.Policy != policy || r.ID == self || r.State != Closed || !settles(r.Outcome) || !r.ClosedAt.After(best.Time) {
			continue
		}
		planned := r.Outcome == "planned"
		if planned && v.mode != DryRun || !slices.Contains(r.touched(), target) {
			continue
		}
		best = Effect{Time: r.ClosedAt, Remediation: r.ID, Policy: policy, Planned: planned}
	}
	return best, !best.Time.IsZero()
}

// touched are the targets that a remediation changed, or in dry run would have.
func (r *Remediation) touched() []string {
	out := slices.Clone(r.Planned)
	for _, i := range r.Intents {
		if !i.Cancelled {
			out = append(out, i.Target)
		}
	}
	return out
}

// Attempts of a policy on an episode: its closed remediations with an intent, along
// the episode's lineage. Planned ones and those that a graceful stop interrupted
// do not count.
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

// Final is a remediation after which the policy is not tried again in the episode:
// it handed over to people, or people refused it.
func (v View) Final(policy, episode string) (Remediation, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	for _, r := range v.l.lineageLocked(policy, episode) {
		if r.State == Closed && r.Mode == v.mode && slices.Contains([]string{"escalated", "expired", "rejected"}, r.Outcome) {
			return r.copy(), true
		}
	}
	return Remediation{}, false
}

// lineageLocked are the remediations of a policy on the episode and on those it follows.
func (l *Ledger) lineageLocked(policy, episode string) []*Remediation {
	e := l.episodes[episode]
	if e == nil {
		return nil
	}
	var out []*Remediation
	for _, r := range l.rems {
		if r.Policy != policy {
			continue
		}
		for _, id := range r.Episodes {
			if o := l.episodes[id]; o != nil && o.Lineage == e.Lineage {
				out = append(out, r)
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b *Remediation) int { return strings.Compare(a.ID, b.ID) })
	return out
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
	for _, p := range sortedBy(l.pauses, func(a, b Pause) int { return a.Since.Compare(b.Since) }) {
		if p.Until.IsZero() || now.Before(p.Until) {
			out = append(out, p)
		}
	}
	return out
}
