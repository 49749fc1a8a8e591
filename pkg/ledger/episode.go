package ledger

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

// Causes of alert.firing and alert.resolved records (AlertData.Cause).
const (
	CauseWebhook    = "webhook"    // Alertmanager said so
	CauseReconciled = "reconciled" // Alertmanager's API said so
	CauseMoved      = "moved"      // the same episode, with an earlier startsAt
	CauseSuperseded = "superseded" // a later startsAt opened the next episode
	CauseAbsent     = "absent"     // gone from Alertmanager's API for long enough
	CauseSilenced   = "silenced"   // the same, last seen silenced or inhibited
)

// AlertData is the data of alert.firing and alert.resolved.
type AlertData struct {
	Notification uint64 `json:"notification,omitempty"` // seq of the notification it came with
	Cause        string `json:"cause"`
	Reopened     bool   `json:"reopened,omitempty"`
	GroupKey     string `json:"group_key,omitempty"`
}

// Episode is one alert from firing to resolved.
type Episode struct {
	ID, Fingerprint string
	Alert           alert.Alert // as last seen; StartsAt is the earliest known
	FirstStartsAt   time.Time   // startsAt when first seen, for the age
	FirstSeen       time.Time
	LastWebhook     time.Time // last notification in which it fired
	Open            bool
	ClosedAt        time.Time
	Cause           string // of its end
	GroupKey        string
	// Lineage is shared by episodes of one fingerprint that follow each other
	// within FlapWindow: attempts are counted along it.
	Lineage string
	// Decided is the last recorded decision by policy name ("" where none matched).
	Decided map[string]Decided
	// Escalated names the policies for which people were told.
	Escalated map[string]bool
}

// Decided is the last recorded decision on an episode for a policy.
type Decided struct {
	Time          time.Time
	Verdict, Code string
	Mode, Config  string
	Remediation   string
}

func (l *Ledger) firingLocked(r *audit.Record) {
	if r.Alert == nil {
		return
	}
	var d AlertData
	_ = json.Unmarshal(r.Data, &d)
	e := l.episodes[r.Episode]
	if e == nil {
		e = &Episode{
			ID: r.Episode, Fingerprint: alert.Fingerprint(*r.Alert), Lineage: r.Episode,
			FirstStartsAt: r.Alert.StartsAt, FirstSeen: r.Time.Time,
			Decided: map[string]Decided{}, Escalated: map[string]bool{},
		}
		if p := l.latest[e.Fingerprint]; p != nil && (p.Open || flapped(p, r)) {
			e.Lineage, e.Escalated = p.Lineage, maps.Clone(p.Escalated)
		}
		l.episodes[e.ID] = e
		l.latest[e.Fingerprint] = e
	}
	e.Open, e.ClosedAt, e.Cause = true, time.Time{}, ""
	start := e.Alert.StartsAt
	e.Alert = *r.Alert
	if !start.IsZero() && start.Before(e.Alert.StartsAt) {
		e.Alert.StartsAt = start
	}
	if d.GroupKey != "" {
		e.GroupKey = d.GroupKey
	}
	if d.Cause != CauseReconciled {
		e.LastWebhook = r.Time.Time
	}
	l.doneLocked(d.Notification)
}

// flapped says whether the episode that r opens follows p too closely to start afresh.
func flapped(p *Episode, r *audit.Record) bool {
	if r.Time.Sub(p.ClosedAt) < FlapWindow {
		return true
	}
	end := alert.EndsAt(p.Alert)
	return !end.IsZero() && r.Alert.StartsAt.Sub(end) < FlapWindow
}

func (l *Ledger) resolvedLocked(r *audit.Record) {
	var d AlertData
	_ = json.Unmarshal(r.Data, &d)
	defer l.doneLocked(d.Notification)
	if r.Alert == nil {
		return
	}
	e := l.episodes[r.Episode]
	if e == nil { // resolved before it was ever seen firing
		e = &Episode{
			ID: r.Episode, Fingerprint: alert.Fingerprint(*r.Alert), Lineage: r.Episode,
			FirstStartsAt: r.Alert.StartsAt, FirstSeen: r.Time.Time,
			Decided: map[string]Decided{}, Escalated: map[string]bool{},
		}
		l.episodes[e.ID] = e
		l.latest[e.Fingerprint] = e
	}
	e.Open, e.ClosedAt, e.Cause = false, r.Time.Time, d.Cause
	start := e.Alert.StartsAt
	e.Alert = *r.Alert
	if !start.IsZero() && start.Before(e.Alert.StartsAt) {
		e.Alert.StartsAt = start
	}
}

func (l *Ledger) decidedLocked(r *audit.Record) {
	if e := l.episodes[r.Episode]; e != nil {
		code := ""
		if r.Reason != nil {
			code = r.Reason.Code
		}
		e.Decided[r.Policy] = Decided{
			Time: r.Time.Time, Verdict: r.Verdict, Code: code,
			Mode: r.Mode, Config: r.Config, Remediation: r.Remediation,
		}
	}
	l.openRemediationLocked(r)
}

func (l *Ledger) escalatedLocked(r *audit.Record) {
	if e := l.episodes[r.Episode]; e != nil {
		e.Escalated[r.Policy] = true
	}
	if rem := l.rems[r.Remediation]; rem != nil {
		for _, id := range rem.Episodes {
			if e := l.episodes[id]; e != nil {
				e.Escalated[r.Policy] = true
			}
		}
	}
}

func (e *Episode) copy() Episode {
	c := *e
	c.Decided, c.Escalated = maps.Clone(e.Decided), maps.Clone(e.Escalated)
	return c
}

// Episode by id.
func (l *Ledger) Episode(id string) (Episode, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.episodes[id]
	if e == nil {
		return Episode{}, false
	}
	return e.copy(), true
}

// Latest is the newest episode of a fingerprint, open or closed.
func (l *Ledger) Latest(fingerprint string) (Episode, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.latest[fingerprint]
	if e == nil {
		return Episode{}, false
	}
	return e.copy(), true
}

// Episodes are all remembered ones, oldest first; only open ones if asked.
func (l *Ledger) Episodes(onlyOpen bool) []Episode {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Episode
	for _, e := range sortedBy(l.episodes, func(a, b *Episode) int { return a.FirstSeen.Compare(b.FirstSeen) }) {
		if e.Open || !onlyOpen {
			out = append(out, e.copy())
		}
	}
	return out
}
