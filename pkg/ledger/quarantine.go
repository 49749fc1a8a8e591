package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// Quarantine is a target that nobody but a person may touch.
type Quarantine struct {
	Target, Remediation, Policy string
	Since                       time.Time
	Text                        string // why
}

// quarantineLocked puts targets into quarantine when a remediation closes. It does
// so for a remediation that is not known, too: what is not known is not safe. One
// that is in quarantine already stays in the first.
func (l *Ledger) quarantineLocked(r *audit.Record, targets []string) {
	policy, mode := r.Policy, r.Mode
	if rem := l.rems[r.Remediation]; rem != nil {
		policy, mode = rem.Policy, rem.Mode
	}
	if mode == DryRun {
		return
	}
	for _, t := range targets {
		if _, known := l.quarantines[t]; known || t == "" {
			continue
		}
		l.quarantines[t] = Quarantine{
			Target: t, Remediation: r.Remediation, Policy: policy, Since: r.Time.Time, Text: quarantineText(r, policy),
		}
	}
}

func quarantineText(r *audit.Record, policy string) string {
	text := fmt.Sprintf("remediation %s of policy %s ended %s", r.Remediation, policy, r.Outcome)
	if r.Reason != nil {
		text += ": " + strings.TrimSpace(r.Reason.Text)
	}
	return text
}

// clearedLocked: a person gave a target back.
func (l *Ledger) clearedLocked(r *audit.Record) {
	delete(l.quarantines, r.Target)
	for _, rem := range l.rems {
		rem.Quarantined = slices.DeleteFunc(rem.Quarantined, func(t string) bool { return t == r.Target })
	}
}

// Quarantined says whether a target is in quarantine.
func (v View) Quarantined(target string) (Quarantine, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	q, ok := v.l.quarantines[target]
	return q, ok
}

// Quarantines are all of them, by target.
func (l *Ledger) Quarantines() []Quarantine {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := func(Quarantine) bool { return true }
	return sorted(l.quarantines, all, func(a, b Quarantine) int { return strings.Compare(a.Target, b.Target) })
}
