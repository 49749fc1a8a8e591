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
	latest    map[string]*Episode            // by fingerprint: the newest episode
	open      map[string]*Episode            // by id: the open ones
	named     map[string]map[string]*Episode // those by alertname
	openings  openings
	rems      map[string]*Remediation
	uses      uses     // effects on targets
	wins      wins     // remediations that ended well, by policy and target
	lines     lineages // remediations by policy and lineage of their episodes
	seen      seen     // which records have been applied
	streaks   streaks
	stops     stops // that people made
	upstreams upstreams

	quarantines map[string]Quarantine // by target
	pauses      map[string]Pause

	processed uint64 // newest notification whose alerts are all recorded
	pending   []audit.Record
	applied   int
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

		open:        map[string]*Episode{},
		named:       map[string]map[string]*Episode{},
		openings:    openings{},
		streaks:     streaks{},
		stops:       stops{},
		upstreams:   upstreams{},
		quarantines: map[string]Quarantine{},
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

// orderLocked is the place of the record that is being applied among all, from 1.
// Unlike its time it tells what came first, whatever clocks did.
func (l *Ledger) orderLocked() int { return l.applied + 1 }

func (l *Ledger) applyLocked(r *audit.Record) {
	switch r.Type {
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
	case audit.ApprovalRequested, audit.ApprovalGranted, audit.ApprovalRejected, audit.ApprovalExpired:
		l.approvalLocked(r)
	case audit.UpstreamChanged:
		l.upstreams.change(r)
	case audit.ControlPaused, audit.ControlResumed:
		l.controlLocked(r)
	case audit.ControlCleared:
		l.clearedLocked(r)
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
