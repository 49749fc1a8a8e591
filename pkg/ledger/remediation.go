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
	Queued  State = "queued"
	Running State = "running"
	Held    State = "held"
	Closed  State = "closed"
)

// Remediation is one attempt of one policy on one set of targets.
type Remediation struct {
	ID, Policy, Runbook, Severity, Mode, Config string

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
	Phase     string   `json:"phase,omitempty"` // confirm, steps, verify, on_failure
	ID        string   `json:"id,omitempty"`
	Cancelled bool     `json:"cancelled,omitempty"` // the intent was abandoned before the effect
	Code      string   `json:"code,omitempty"`      // of the error
	Attempts  int      `json:"attempts,omitempty"`  // times a check was tried within its `within`
	Effect    bool     `json:"effect,omitempty"`
	Services  []string `json:"services,omitempty"`
}

// ClosedData is the data of remediation.closed.
type ClosedData struct {
	Episodes []string `json:"episodes,omitempty"`
	Intents  int      `json:"intents"`
	Shutdown bool     `json:"shutdown,omitempty"`
	Planned  []string `json:"planned,omitempty"` // dry run: targets that would have been changed
	Attempt  int      `json:"attempt,omitempty"`
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
		rem = &Remediation{
			ID: r.Remediation, Policy: r.Policy, Runbook: r.Runbook, Severity: r.Severity, Mode: r.Mode,
			Config: r.Config, Targets: r.Targets, State: Running, OpenedAt: r.Time.Time, Reason: r.Reason,
		}
		l.rems[rem.ID] = rem
	}
	joins := r.Verdict == "execute" || r.Reason != nil && r.Reason.Code == "joined"
	if joins && rem.State != Closed && !slices.Contains(rem.Episodes, r.Episode) {
		rem.Episodes = append(rem.Episodes, r.Episode)
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
		l.uses = append(l.uses, use{
			target: r.Target, remediation: rem.ID, policy: rem.Policy, first: r.Time.Time, last: r.Time.Time,
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
		for j := len(l.uses) - 1; j >= 0; j-- {
			u := &l.uses[j]
			if u.remediation == rem.ID && u.target == in.Target && u.first.Equal(in.Started) {
				u.last = r.Time.Time
				if d.Cancelled {
					l.uses = slices.Delete(l.uses, j, j+1)
				}
				break
			}
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
		for _, t := range d.Planned {
			l.uses = append(l.uses, use{
				target: t, remediation: rem.ID, policy: rem.Policy,
				first: r.Time.Time, last: r.Time.Time, planned: true,
			})
		}
	}
}

func (r *Remediation) copy() Remediation {
	c := *r
	c.Targets, c.Episodes = slices.Clone(r.Targets), slices.Clone(r.Episodes)
	c.Intents, c.Skipped = slices.Clone(r.Intents), slices.Clone(r.Skipped)
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
	for _, r := range sortedBy(l.rems, func(a, b *Remediation) int { return a.OpenedAt.Compare(b.OpenedAt) }) {
		if keep == nil || keep(r) {
			out = append(out, r.copy())
		}
	}
	return out
}
