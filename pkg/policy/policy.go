// Package policy is may we: which policy an alert belongs to, and what every
// guard says about acting now. It is pure: alert, history and now go in, a
// verdict with reasons comes out; no I/O, no clock of its own.
package policy

import (
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// Mode of the daemon or of one policy.
type Mode string

// Modes. The stricter of two wins.
const (
	DryRun Mode = "dry-run"
	Live   Mode = "live"
)

// Stricter of two modes: dry run unless both are live. An empty mode has no say.
func Stricter(a, b Mode) Mode {
	if a == DryRun || b == DryRun || (a == "" && b == "") {
		return DryRun
	}
	return Live
}

// When a policy acts.
const (
	OnFiring   = "firing"
	OnResolved = "resolved"
)

// Limit is at most Max remediations with an effect in any window of Per.
type Limit struct {
	Max int
	Per time.Duration
}

// Settings are the values of the guards for one policy (design §4, defaults).
type Settings struct {
	Cooldown    time.Duration // per target, since any policy's last effect
	Settle      time.Duration // per target and policy, after a success
	Attempts    int           // per episode and policy
	Limits      []Limit       // per target
	MaxAlertAge time.Duration
	Deadline    time.Duration // of one remediation
}

// Policy says what to do about which alert, and when not to. The steps are the
// engine's; here is only what a decision needs.
type Policy struct {
	Name     string
	Runbook  string
	Severity string // P1..P4
	Mode     Mode   // "" follows the daemon
	On       string
	Continue bool
	// Matchers are alternatives; all matchers of one alternative must match.
	Matchers []labels.Matchers
	Settings Settings
	Escalate []string // receivers
}

// Matches says whether one of the alternatives matches a label set.
func (p *Policy) Matches(set map[string]string) bool {
	for _, ms := range p.Matchers {
		if matchesAll(ms, set) {
			return true
		}
	}
	return false
}

// matchesAll: a missing label equals the empty string, as in Alertmanager.
func matchesAll(ms labels.Matchers, set map[string]string) bool {
	if len(ms) == 0 {
		return false // an empty selector never means everything
	}
	for _, m := range ms {
		if !m.Matches(set[m.Name]) {
			return false
		}
	}
	return true
}

// SeverityRank orders severities, P1 first.
func SeverityRank(severity string) int {
	switch severity {
	case "P1":
		return 1
	case "P2":
		return 2
	case "P3":
		return 3
	default:
		return 4
	}
}
