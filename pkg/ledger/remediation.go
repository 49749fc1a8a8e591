package ledger

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// State of a remediation.
type State string

// States of a remediation (design §1).
const (
	Queued           State = "queued"
	Running          State = "running"
	AwaitingApproval State = "awaiting_approval"
	Held             State = "held"
	Closed           State = "closed"
)

// Remediation is one attempt of one policy on one set of targets.
type Remediation struct {
	ID, Policy, Runbook, Severity, Mode, Config string
	// Book identifies the text of the policy that it was started with.
	Book string

	Targets  []string
	Episodes []string // joined ones included; the first asked for it
	State    State
	OpenedAt time.Time
	ClosedAt time.Time
	Outcome  string
	Reason   *audit.Reason
	Verified bool
	Effect   string
	Intents  []Intent
	Skipped  []int // steps that a guard or an unknown input skipped
	Shutdown bool  // interrupted by a graceful stop: no failed attempt
	Planned  []string
	// Quarantined targets, until a person clears them.
	Quarantined []string
	HeldPhase   string // in which phase it was held
	// Approval is the newest request for consent, if there was one.
	Approval *Approval
	// Grants are the requests that were granted, oldest first.
	Grants []Approval

	order   int      // of the record that opened it
	counted bool     // in the streak of its policy
	expired []string // hashes of plans for which consent was not given in time
}

// Intent is one effect: durable before it was begun.
type Intent struct {
	Step      int
	Uses      string
	Target    string   // the first of Targets
	Targets   []string // all that it changes, each once
	Phase     string
	Started   time.Time
	Finished  time.Time // zero: no result
	Error     string
	Cancelled bool // abandoned before the effect: it never happened
	Lost      bool // remediator ended before it saw the result; Finished is the next start
}

// StepData is the data of step and check records.
type StepData struct {
	Phase     string `json:"phase,omitempty"` // confirm, steps, verify, on_failure
	ID        string `json:"id,omitempty"`
	Lost      bool   `json:"lost,omitempty"`      // recorded at the next start: remediator ended before it saw the result
	Cancelled bool   `json:"cancelled,omitempty"` // the intent was abandoned before the effect
	Code      string `json:"code,omitempty"`      // of the error
	Attempts  int    `json:"attempts,omitempty"`  // times a check was tried within its `within`
	Effect    bool   `json:"effect,omitempty"`
}

// DecidedData is the data of remediation.decided: Book where it opens a remediation,
// Stops where it found stops that a person made.
type DecidedData struct {
	Book string `json:"policy_hash,omitempty"`
	// Stops that were found to be a person's (reason stopped_by_person).
	Stops []StopSeen `json:"stops,omitempty"`
}

// ClosedData is the data of remediation.closed.
type ClosedData struct {
	Episodes []string `json:"episodes,omitempty"`
	Intents  int      `json:"intents"`
	Shutdown bool     `json:"shutdown,omitempty"`
	Planned  []string `json:"planned,omitempty"` // dry run: targets that would have been changed
	// Quarantined targets (hold_on_failure), until control.cleared.
	Quarantined []string `json:"quarantined,omitempty"`
}

// HadEffect says whether an intent was carried out or may have been.
func (r *Remediation) HadEffect() bool {
	return slices.ContainsFunc(r.Intents, func(i Intent) bool { return !i.Cancelled })
}

// OpenIntent is the intent without a result, if there is one.
func (r *Remediation) OpenIntent() (Intent, bool) {
	for _, i := range r.Intents {
		if i.Finished.IsZero() {
			return i, true
		}
	}
	return Intent{}, false
}

// opens says which verdicts start a remediation; one that waits for consent does
// so as a remediation.
func opens(verdict string) bool { return verdict == "execute" || verdict == "await_approval" }

// LostIntent is the intent whose result nobody saw, if there is one.
func (r *Remediation) LostIntent() (Intent, bool) {
	for _, i := range r.Intents {
		if i.Lost {
			return i, true
		}
	}
	return Intent{}, false
}

func (l *Ledger) openRemediationLocked(r *audit.Record, d DecidedData) {
	if r.Remediation == "" {
		return
	}
	rem := l.rems[r.Remediation]
	if rem == nil {
		if !opens(r.Verdict) {
			return
		}
		rem = &Remediation{
			Book: d.Book, ID: r.Remediation, Policy: r.Policy, Runbook: r.Runbook, Severity: r.Severity, Mode: r.Mode,
			Config: r.Config, Targets: r.Targets, State: Running, OpenedAt: r.Time.Time, Reason: r.Reason,
			order: l.orderLocked(),
		}
		l.rems[rem.ID] = rem
	}
	joins := opens(r.Verdict) || r.Reason != nil && r.Reason.Code == "joined"
	if joins && rem.State != Closed {
		l.joinLocked(rem, r.Episode)
	}
}

func (l *Ledger) joinLocked(rem *Remediation, episode string) {
	if episode != "" && !slices.Contains(rem.Episodes, episode) {
		rem.Episodes = append(rem.Episodes, episode)
	}
	if e := l.episodes[episode]; e != nil {
		fileOnce(l.lines, lineKey{rem.Policy, e.Lineage}, rem)
	}
}

func (l *Ledger) stepLocked(r *audit.Record) {
	rem := l.rems[r.Remediation]
	if rem == nil || r.Step == nil {
		return
	}
	var d StepData
	_ = json.Unmarshal(r.Data, &d)
	switch r.Type {
	case audit.StepStarted:
		l.startLocked(rem, r, d)
	case audit.StepFinished:
		l.finishLocked(rem, r, d)
	case audit.StepSkipped:
		rem.Skipped = append(rem.Skipped, *r.Step)
	}
}

// startLocked notes an intent. Each of its targets counts.
func (l *Ledger) startLocked(rem *Remediation, r *audit.Record, d StepData) {
	in := Intent{Step: *r.Step, Uses: r.Uses, Targets: changed(r), Phase: d.Phase, Started: r.Time.Time}
	in.Target = in.Targets[0]
	rem.Intents = append(rem.Intents, in)
	for _, t := range in.Targets {
		l.uses.add(&use{
			target: t, remediation: rem.ID, policy: rem.Policy, intent: len(rem.Intents) - 1,
			first: in.Started, last: in.Started, open: true,
		})
	}
}

// changed are the targets of an intent's record, each once, the one that it names
// first. An intent that names none is one on "", so that it counts among all.
func changed(r *audit.Record) []string {
	var out []string
	for _, t := range append([]string{r.Target}, r.Targets...) {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if out == nil {
		out = []string{""}
	}
	return out
}

// finishLocked ends an intent. A cancelled one never happened and stops counting.
func (l *Ledger) finishLocked(rem *Remediation, r *audit.Record, d StepData) {
	for i := range rem.Intents {
		in := &rem.Intents[i]
		if in.Step != *r.Step || in.Phase != d.Phase || !in.Finished.IsZero() {
			continue
		}
		in.Finished, in.Error, in.Cancelled, in.Lost = r.Time.Time, r.Error, d.Cancelled, d.Lost
		for _, t := range in.Targets {
			u := l.uses.drop(rem.ID, t, i)
			if u != nil && !d.Cancelled {
				u.last, u.open, u.lost = r.Time.Time, false, d.Lost
				l.uses.add(u) // at the end: it ended last
			}
		}
		return
	}
}

func (l *Ledger) remediationLocked(r *audit.Record) {
	var d ClosedData
	if r.Type == audit.RemediationClosed {
		_ = json.Unmarshal(r.Data, &d)
		l.quarantineLocked(r, d.Quarantined)
	}
	rem := l.rems[r.Remediation]
	if rem == nil {
		return
	}
	switch r.Type {
	case audit.RemediationHeld:
		if rem.State != Closed { // an end is an end
			var d StepData
			_ = json.Unmarshal(r.Data, &d)
			rem.State, rem.Reason, rem.HeldPhase = Held, r.Reason, d.Phase
		}
	case audit.RemediationVerified:
		rem.Verified = true
	case audit.RemediationEffect:
		rem.Effect = r.Effect
		l.streaks.count(rem, l.orderLocked(), r.Time.Time)
	case audit.RemediationClosed:
		rem.State, rem.ClosedAt, rem.Outcome, rem.Reason = Closed, r.Time.Time, r.Outcome, r.Reason
		rem.Shutdown, rem.Planned = d.Shutdown, d.Planned
		if rem.live() {
			rem.Quarantined = d.Quarantined
		}
		if rem.Outcome == "expired" {
			rem.decideApproval(Expired, "")
		}
		for _, id := range d.Episodes { // a joining may have gone unrecorded
			l.joinLocked(rem, id)
		}
		l.closedLocked(rem)
		l.streaks.count(rem, l.orderLocked(), r.Time.Time)
	}
}

// closedLocked files what a closed remediation means for later decisions.
func (l *Ledger) closedLocked(rem *Remediation) {
	planned := !rem.live()
	if planned {
		for _, t := range unique(rem.Planned) {
			l.uses.add(&use{
				target: t, remediation: rem.ID, policy: rem.Policy,
				first: rem.ClosedAt, last: rem.ClosedAt, planned: true,
			})
		}
	}
	if !settles(rem.Outcome) {
		return
	}
	for _, t := range unique(rem.touched()) {
		fileOnce(l.wins, winKey{rem.Policy, t, planned}, rem)
	}
}

const outcomePlanned = "planned"

// settles says which outcomes start the settle time (design §5, deciding again).
func settles(outcome string) bool {
	return slices.Contains([]string{"succeeded", "unverified", "partial", outcomePlanned}, outcome)
}

// touched are the targets that a remediation changed, or in dry run would have.
func (r *Remediation) touched() []string {
	if r.Outcome == outcomePlanned {
		return r.Planned
	}
	var out []string
	for _, i := range r.Intents {
		if !i.Cancelled {
			out = append(out, i.Targets...)
		}
	}
	return out
}

func unique(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }

func (r *Remediation) copy() Remediation {
	c := *r
	c.Targets, c.Episodes = slices.Clone(r.Targets), slices.Clone(r.Episodes)
	c.Grants = slices.Clone(r.Grants)
	c.Intents, c.Skipped, c.Planned = slices.Clone(r.Intents), slices.Clone(r.Skipped), slices.Clone(r.Planned)
	c.Quarantined, c.expired = slices.Clone(r.Quarantined), slices.Clone(r.expired)
	if r.Approval != nil {
		a := *r.Approval
		c.Approval = &a
	}
	return c
}

// Remediation by id.
func (l *Ledger) Remediation(id string) (Remediation, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := l.rems[id]
	if r == nil {
		return Remediation{}, false
	}
	return r.copy(), true
}

// Remediations are all remembered ones for which keep answers yes, oldest first.
func (l *Ledger) Remediations(keep func(*Remediation) bool) []Remediation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Remediation
	if keep == nil {
		keep = func(*Remediation) bool { return true }
	}
	for _, r := range sorted(l.rems, keep, func(a, b *Remediation) int { return a.OpenedAt.Compare(b.OpenedAt) }) {
		out = append(out, r.copy())
	}
	return out
}
