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
	CauseUpstream   = "upstream"   // an upstream's state said so
	CauseRun        = "run"        // a person started a policy; or that remediation has ended
	CauseRemoved    = "removed"    // its upstream is not configured any more
)

// Origins of an episode.
const (
	OriginWebhook  = ""         // Alertmanager
	OriginUpstream = "upstream" // the state of an upstream
	OriginRun      = "run"      // a person
)

// AlertData is the data of alert.firing and alert.resolved.
type AlertData struct {
	Notification uint64 `json:"notification,omitempty"` // seq of the notification it came with
	Cause        string `json:"cause"`
	Reopened     bool   `json:"reopened,omitempty"`
	// Received is when that notification was accepted.
	Received time.Time `json:"received,omitzero"`
	GroupKey string    `json:"group_key,omitempty"`
	// Origin is where the episode comes from, Policy what a person started and Reason why.
	Origin string `json:"origin,omitempty"`
	Policy string `json:"policy,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Episode is one alert from firing to resolved.
type Episode struct {
	ID, Fingerprint string
	Alert           alert.Alert // as last seen; StartsAt is the earliest known
	FirstStartsAt   time.Time   // startsAt when first seen: for the age, and for Continues
	FirstSeen       time.Time
	LastWebhook     time.Time // last notification in which it fired
	Open            bool
	ClosedAt        time.Time
	Cause           string // of its end
	GroupKey        string
	Origin          string // see OriginWebhook
	Policy          string // of a run: the one policy it is for
	Actor           string // of a run: who started it
	// Lineage is shared by episodes of one fingerprint that follow each other
	// within FlapWindow: attempts are counted along it.
	Lineage string

	name string // alertname
	// Decided is the last recorded decision by policy name ("" where none matched).
	Decided map[string]Decided
	// Escalated names the policies for which people were told.
	Escalated map[string]bool

	own bool // an alert of remediator itself
}

// Decided is the last recorded decision on an episode for a policy.
type Decided struct {
	Time          time.Time
	Verdict, Code string
	Mode, Config  string
	Remediation   string
}

// Continues says whether a firing with this startsAt is still this episode (design
// §1). It is measured against the startsAt that the episode was opened with, not
// against the one that it was moved back to: two Prometheus with different starts
// take turns, and the later of the two would open an episode each time.
func (e *Episode) Continues(startsAt time.Time) bool {
	return !startsAt.After(e.FirstStartsAt)
}

// openLocked gives the episode of a record, a new one where it is not known yet. A
// new one inherits attempts and escalations when it follows too closely.
func (l *Ledger) openLocked(r *audit.Record, d AlertData) *Episode {
	if e := l.episodes[r.Episode]; e != nil {
		return e
	}
	e := &Episode{
		ID: r.Episode, Fingerprint: alert.Fingerprint(*r.Alert), Lineage: r.Episode,
		FirstStartsAt: r.Alert.StartsAt, FirstSeen: r.Time.Time,
		Decided: map[string]Decided{}, Escalated: map[string]bool{},
	}
	if d.Origin != OriginWebhook {
		e.Origin, e.Policy, e.Actor = d.Origin, d.Policy, r.Actor
	}
	if p := l.latest[e.Fingerprint]; p != nil && (p.Open || flapped(p, r)) {
		e.Lineage, e.Escalated = p.Lineage, maps.Clone(p.Escalated)
	}
	l.episodes[e.ID] = e
	return e
}

// seen takes an alert over as last seen; its start is the earliest known.
func (e *Episode) seen(a alert.Alert) {
	start := e.Alert.StartsAt
	e.Alert, e.own = a, a.Labels["source"] == "remediator"
	if !start.IsZero() && start.Before(a.StartsAt) {
		e.Alert.StartsAt = start
	}
}

func (l *Ledger) firingLocked(r *audit.Record) {
	var d AlertData
	_ = json.Unmarshal(r.Data, &d)
	defer l.doneLocked(d.Notification)
	if r.Alert == nil || r.Episode == "" {
		return
	}
	e := l.openLocked(r, d)
	// One open episode per fingerprint: the record that came last says which.
	if p := l.latest[e.Fingerprint]; p != nil && p != e && p.Open {
		l.endLocked(p, r.Time.Time, CauseSuperseded)
	}
	l.latest[e.Fingerprint] = e
	if !e.Open && d.Cause != CauseMoved {
		l.openings.add(e.Fingerprint, r.Time.Time)
	}
	l.beginLocked(e, r.Alert.Labels["alertname"])
	e.seen(*r.Alert)
	if d.GroupKey != "" {
		e.GroupKey = d.GroupKey
	}
	// One that reopens an episode may be an old notification delivered late, and one
	// may have waited through an outage of remediator: neither is fresh, so that
	// Alertmanager is asked before anything is done.
	if d.Cause != CauseReconciled && !d.Reopened {
		e.LastWebhook = d.at(r)
	}
}

// at is when the notification behind a record was accepted.
func (d AlertData) at(r *audit.Record) time.Time {
	if d.Received.IsZero() || d.Received.After(r.Time.Time) {
		return r.Time.Time
	}
	return d.Received
}

// flapped says whether the episode that r opens follows p too closely to start
// afresh. Both clocks must agree that it does not: ours, between the records, and
// the alert's own, which an end in the future cannot stretch.
func flapped(p *Episode, r *audit.Record) bool {
	if r.Time.Sub(p.ClosedAt) < FlapWindow {
		return true
	}
	end := alert.EndsAt(p.Alert)
	if end.After(p.ClosedAt) {
		end = p.ClosedAt
	}
	return !end.IsZero() && r.Alert.StartsAt.Sub(end) < FlapWindow
}

func (l *Ledger) resolvedLocked(r *audit.Record) {
	var d AlertData
	_ = json.Unmarshal(r.Data, &d)
	defer l.doneLocked(d.Notification)
	if r.Alert == nil || r.Episode == "" {
		return
	}
	known := l.episodes[r.Episode] != nil
	e := l.openLocked(r, d)
	// One that was never seen firing must not hide the episode that is open, nor a
	// later one.
	if p := l.latest[e.Fingerprint]; p == nil || !known && !p.Open && !p.Continues(r.Alert.StartsAt) {
		l.latest[e.Fingerprint] = e
	}
	if !known || e.Open {
		l.endLocked(e, r.Time.Time, d.Cause)
	} else if e.Cause == CauseAbsent || e.Cause == CauseSilenced {
		e.Cause = d.Cause // it was closed on suspicion; this one knows
	}
	e.seen(*r.Alert)
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
	var d DecidedData
	_ = json.Unmarshal(r.Data, &d)
	l.stops.add(d.Stops, r.Time.Time)
	l.openRemediationLocked(r, d)
}

// escalatedLocked: a message that asks for consent hands nothing over, and must not
// silence what comes of the request.
func (l *Ledger) escalatedLocked(r *audit.Record) {
	if r.Reason != nil && r.Reason.Code == "approval" {
		return
	}
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
	from := l.episodes
	if onlyOpen {
		from = l.open
	}
	all := func(*Episode) bool { return true }
	for _, e := range sorted(from, all, func(a, b *Episode) int { return a.FirstSeen.Compare(b.FirstSeen) }) {
		out = append(out, e.copy())
	}
	return out
}
