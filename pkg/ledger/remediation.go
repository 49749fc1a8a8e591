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
	// Approval is the newest request for consent, if there was one.
	Approval *Approval
}

// Intent is one effect: durable before it was begun.
type Intent struct {
	Step      int
	Uses      string
	Target    string
	Phase     string
	Started   time.Time
	Finished  time.Time // zero: no result
	Error     string
	Cancelled bool // abandoned before the effect: it never happened
}

// StepData is the data of step and check records.
type StepData struct {
	Phase     string `json:"phase,omitempty"` // confirm, steps, verify, on_failure
	ID        string `json:"id,omitempty"`
	Cancelled bool   `json:"cancelled,omitempty"` // the intent was abandoned before the effect
	Code      string `json:"code,omitempty"`      // of the error
	Attempts  int    `json:"attempts,omitempty"`  // times a check was tried within its `within`
	Effect    bool   `json:"effect,omitempty"`
}

// DecidedData is the data of remediation.decided where it opens a remediation.
type DecidedData struct {
	Book string `json:"policy_hash,omitempty"`
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

func (l *Ledger) openRemediationLocked(r *audit.Record) {
	if r.Remediation == "" {
		return
	}
	rem := l.rems[r.Remediation]
	if rem == nil {
		if r.Verdict != "execute" {
			return
		}
		var d DecidedData
		_ = json.Unmarshal(r.Data, &d)
		rem = &Remediation{
			Book: d.Book, ID: r.Remediation, Policy: r.Policy, Runbook: r.Runbook, Severity: r.Severity, Mode: r.Mode,
			Config: r.Config, Targets: r.Targets, State: Running, OpenedAt: r.Time.Time, Reason: r.Reason,
		}
		l.rems[rem.ID] = rem
	}
	joins := r.Verdict == "execute" || r.Reason != nil && r.Reason.Code == "joined"
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
		rem.Intents = append(rem.Intents, Intent{
			Step: *r.Step, Uses: r.Uses, Target: r.Target, Phase: d.Phase, Started: r.Time.Time,
		})
		l.uses.add(&use{
			target: r.Target, remediation: rem.ID, policy: rem.Policy, step: *r.Step, phase: d.Phase,
			first: r.Time.Time, last: r.Time.Time,
		})
	case audit.StepFinished:
		l.finishLocked(rem, r, d)
	case audit.StepSkipped:
		rem.Skipped = append(rem.Skipped, *r.Step)
	}
}

// finishLocked ends an intent. A cancelled one never happened and stops counting.
func (l *Ledger) finishLocked(rem *Remediation, r *audit.Record, d StepData) {
	for i := range rem.Intents {
		in := &rem.Intents[i]
		if in.Step != *r.Step || in.Phase != d.Phase || !in.Finished.IsZero() {
			continue
		}
		in.Finished, in.Error, in.Cancelled = r.Time.Time, r.Error, d.Cancelled
		u := l.uses.drop(rem.ID, in.Target, in.Phase, in.Step)
		if u != nil && !d.Cancelled {
			u.last = r.Time.Time
			l.uses.add(u) // at the end: it ended last
		}
		return
	}
}

func (l *Ledger) remediationLocked(r *audit.Record) {
	rem := l.rems[r.Remediation]
	if rem == nil {
		return
	}
	switch r.Type {
	case audit.RemediationHeld:
		rem.State, rem.Reason = Held, r.Reason
	case audit.RemediationVerified:
		rem.Verified = true
	case audit.RemediationEffect:
		rem.Effect = r.Effect
	case audit.RemediationClosed:
		var d ClosedData
		_ = json.Unmarshal(r.Data, &d)
		rem.State, rem.ClosedAt, rem.Outcome, rem.Reason = Closed, r.Time.Time, r.Outcome, r.Reason
		rem.Shutdown, rem.Planned = d.Shutdown, d.Planned
		for _, id := range d.Episodes { // a joining may have gone unrecorded
			l.joinLocked(rem, id)
		}
		l.closedLocked(rem)
	}
}

// closedLocked files what a closed remediation means for later decisions.
func (l *Ledger) closedLocked(rem *Remediation) {
	planned := rem.Mode == DryRun || rem.Outcome == outcomePlanned
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
			out = append(out, i.Target)
		}
	}
	return out
}

func unique(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }

func (r *Remediation) copy() Remediation {
	c := *r
	c.Targets, c.Episodes = slices.Clone(r.Targets), slices.Clone(r.Episodes)
	c.Intents, c.Skipped, c.Planned = slices.Clone(r.Intents), slices.Clone(r.Skipped), slices.Clone(r.Planned)
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
