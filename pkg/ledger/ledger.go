// Package ledger is history as the guards need it, projected from audit records
// and from nothing else: the same code feeds the engine, unit tests of policies
// and backtests. Applying the same records gives the same answers, so that a
// restarted daemon remembers its own limits.
package ledger

import (
	"encoding/json"
	"slices"
	"sort"
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

// Ledger is safe for concurrent use. Apply is called in the order of records.
type Ledger struct {
	mu sync.RWMutex // guards everything below

	episodes  map[string]*Episode
	latest    map[string]*Episode // by fingerprint: the newest episode
	rems      map[string]*Remediation
	uses      []use // effects on targets, in the order of records
	pauses    map[string]Pause
	processed uint64 // newest notification whose alerts are all recorded
	pending   []audit.Record
	applied   int
	lastMode  string
	lastSeen  time.Time
}

// use is one remediation's effect (or, planned, what would have been one) on a target.
type use struct {
	target, remediation, policy string
	first, last                 time.Time
	planned                     bool
}

// New is an empty ledger.
func New() *Ledger {
	return &Ledger{
		episodes: map[string]*Episode{},
		latest:   map[string]*Episode{},
		rems:     map[string]*Remediation{},
		pauses:   map[string]Pause{},
	}
}

// Apply projects committed records. It never fails: a record that it cannot read
// changes nothing here and stays in the journal.
func (l *Ledger) Apply(recs []*audit.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range recs {
		l.applyLocked(r)
		if r.Time.After(l.lastSeen) {
			l.lastSeen = r.Time.Time
		}
		if l.applied++; l.applied%1000 == 0 {
			l.pruneLocked(r.Time.Add(-Retain))
		}
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
		if e != nil && e.Open && a.Status == alert.Firing && !a.StartsAt.After(e.Alert.StartsAt) {
			e.LastWebhook = r.Time.Time
		}
	}
}

// doneLocked: everything of notifications up to seq has been recorded.
func (l *Ledger) doneLocked(seq uint64) {
	if seq > l.processed {
		l.processed = seq
	}
	l.pending = slices.DeleteFunc(l.pending, func(r audit.Record) bool { return r.Seq < seq })
}

// Unprocessed are notifications, oldest first, that were durable but whose alerts
// may not have been recorded: what a crash between the two leaves. The newest
// one with records of its own is among them; taking it in again changes nothing.
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

// pruneLocked forgets what no guard can ask about any more.
func (l *Ledger) pruneLocked(before time.Time) {
	for id, e := range l.episodes {
		if e.Open || e.ClosedAt.After(before) {
			continue
		}
		delete(l.episodes, id)
		if l.latest[e.Fingerprint] == e {
			delete(l.latest, e.Fingerprint)
		}
	}
	for id, r := range l.rems {
		if r.State == Closed && r.ClosedAt.Before(before) {
			delete(l.rems, id)
		}
	}
	l.uses = slices.DeleteFunc(l.uses, func(u use) bool { return u.last.Before(before) })
}

// LastMode is the mode of the newest daemon.started or config.loaded record.
func (l *Ledger) LastMode() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastMode
}

// sortedBy gives a map's values in a stable order.
func sortedBy[T any](m map[string]T, less func(a, b T) int) []T {
	out := make([]T, 0, len(m))
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		out = append(out, m[k])
	}
	slices.SortStableFunc(out, less)
	return out
}
