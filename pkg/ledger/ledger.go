// Package ledger is history as the guards need it, projected from audit records
// and from nothing else: the same code feeds the engine, unit tests of policies
// and backtests. Applying the same records gives the same answers, so that a
// restarted daemon remembers its own limits.
package ledger

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

// FlapWindow is how long an alert must stay resolved before its next episode
// starts with fresh attempts (design §4, defaults.attempts).
const FlapWindow = 15 * time.Minute

// Retain is how long closed episodes and remediations are remembered.
const Retain = 8 * 24 * time.Hour

// Modes of a record.
const (
	Live   = "live"
	DryRun = "dry-run"
)

// Ledger is safe for concurrent use. Apply is called in the order of records: by
// seq for each replica, never by time, because a clock may go back.
type Ledger struct {
	mu sync.RWMutex // guards everything below

	episodes  map[string]*Episode
	latest    map[string]*Episode // by fingerprint: the newest episode
	rems      map[string]*Remediation
	uses      uses     // effects on targets
	wins      wins     // remediations that ended well, by policy and target
	lines     lineages // remediations by policy and lineage of their episodes
	seen      seen     // which records have been applied
	pauses    map[string]Pause
	processed uint64 // newest notification whose alerts are all recorded
	pending   []audit.Record
	applied   int
	lastMode  string
	newest    time.Time // time of the newest record
	floor     time.Time // oldest time among the records since the last pruning
}

// New is an empty ledger.
func New() *Ledger {
	return &Ledger{
		episodes: map[string]*Episode{},
		latest:   map[string]*Episode{},
		rems:     map[string]*Remediation{},
		pauses:   map[string]Pause{},
		uses:     uses{},
		wins:     wins{},
		lines:    lineages{},
		seen:     seen{},
	}
}

// Apply projects committed records. It never fails: a record that it cannot read
// changes nothing here and stays in the journal. A record that was applied before
// is left out, so that a tail may be given twice (an append in doubt, a replay that
// overlaps). Records without a seq, as in unit tests of policies, are always applied.
func (l *Ledger) Apply(recs []*audit.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range recs {
		if !l.seen.first(r.Replica, r.Seq) {
			continue
		}
		l.clockLocked(r.Time.Time)
		l.applyLocked(r)
		if l.applied++; l.applied%1000 == 0 {
			l.pruneLocked(l.floor.Add(-Retain))
			l.floor = time.Time{}
		}
	}
}

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

func (l *Ledger) clampLocked(now time.Time) {
	clamp := func(times ...*time.Time) {
		for _, t := range times {
			if t.After(now) {
				*t = now
			}
		}
	}
	for _, e := range l.episodes {
		clamp(&e.FirstSeen, &e.LastWebhook, &e.ClosedAt)
	}
	for _, r := range l.rems {
		clamp(&r.OpenedAt, &r.ClosedAt)
		for i := range r.Intents {
			clamp(&r.Intents[i].Started, &r.Intents[i].Finished)
		}
	}
	for _, list := range l.uses {
		for _, u := range list {
			clamp(&u.first, &u.last)
		}
	}
	for scope, p := range l.pauses {
		clamp(&p.Since)
		l.pauses[scope] = p
	}
}

func (l *Ledger) applyLocked(r *audit.Record) {
	switch r.Type {
	case audit.DaemonStarted, audit.ConfigLoaded:
		l.lastMode = r.Mode
	case audit.NotificationReceived:
		l.notificationLocked(r)
	case audit.AlertFiring:
		l.firingLocked(r)
	case audit.AlertResolved:
		l.resolvedLocked(r)
	case audit.RemediationDecided:
		l.decidedLocked(r)
	case audit.StepStarted, audit.StepFinished, audit.StepSkipped, audit.StepPlanned:
		l.stepLocked(r)
	case audit.RemediationHeld, audit.RemediationClosed, audit.RemediationEffect, audit.RemediationVerified:
		l.remediationLocked(r)
	case audit.EscalationSent:
		l.escalatedLocked(r)
	case audit.ControlPaused, audit.ControlResumed:
		l.controlLocked(r)
	}
}

// notificationLocked notes which open episodes were just seen firing, and keeps
// the notification until its alerts are recorded.
func (l *Ledger) notificationLocked(r *audit.Record) {
	l.pending = append(l.pending, *r)
	var d struct {
		Payload struct {
			Alerts []alert.Alert `json:"alerts"`
		} `json:"payload"`
	}
	if json.Unmarshal(r.Data, &d) != nil {
		return
	}
	for _, a := range d.Payload.Alerts {
		e := l.latest[alert.Fingerprint(a)]
		if e != nil && e.Open && a.Status == alert.Firing && e.Continues(a.StartsAt) {
			e.LastWebhook = r.Time.Time
		}
	}
}

// doneLocked: everything of notifications up to seq has been recorded.
func (l *Ledger) doneLocked(seq uint64) {
	if seq > l.processed {
		l.processed = seq
	}
	l.pending = slices.DeleteFunc(l.pending, func(r audit.Record) bool { return r.Seq <= seq })
}

// Unprocessed are notifications, oldest first, that were durable but whose alerts
// may not have been recorded: what a crash between the two leaves. Repetitions that
// changed nothing since the last alert record are among them; taking them in again
// changes nothing either.
func (l *Ledger) Unprocessed() []audit.Record {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.pending)
}

// Processed forgets a notification that has been taken in and left no record
// (every alert in it was a repetition).
func (l *Ledger) Processed(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.DeleteFunc(l.pending, func(r audit.Record) bool { return r.Seq <= seq })
}

// pruneLocked forgets what no guard can ask about any more. A lineage is kept whole
// while one of its episodes is: an alert that fires for weeks keeps its attempts.
func (l *Ledger) pruneLocked(before time.Time) {
	kept := map[string]bool{}
	for _, e := range l.episodes {
		if e.Open || e.ClosedAt.After(before) {
			kept[e.Lineage] = true
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
	gone := map[*Remediation]bool{}
	for id, r := range l.rems {
		remembered := slices.ContainsFunc(r.Episodes, func(e string) bool { return l.episodes[e] != nil })
		if r.State == Closed && r.ClosedAt.Before(before) && !remembered {
			delete(l.rems, id)
			gone[r] = true
		}
	}
	forget(l.wins, func(r *Remediation) bool { return gone[r] })
	forget(l.lines, func(r *Remediation) bool { return gone[r] })
	forget(l.uses, func(u *use) bool { return u.last.Before(before) })
}

// LastMode is the mode of the newest daemon.started or config.loaded record.
func (l *Ledger) LastMode() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastMode
}

// sorted gives the values of a map for which keep answers yes in a stable order.
func sorted[T any](m map[string]T, keep func(T) bool, less func(a, b T) int) []T {
	keys := make([]string, 0, len(m))
	for k, v := range m {
		if keep(v) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	out := make([]T, 0, len(keys))
	for _, k := range keys {
		out = append(out, m[k])
	}
	slices.SortStableFunc(out, less)
	return out
}
