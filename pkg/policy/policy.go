// Package policy is may we: which policy an alert belongs to, and what every
// guard says about acting now. It is pure: alert, history and now go in, a
// verdict with reasons comes out; no I/O, no clock of its own.
package policy

import (
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/timeinterval"
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
	For         time.Duration // minimum time firing; on resolution, since it resolved
	Breaker     Breaker
	Approval    Approval
	// SuppressWhile of the policy itself; guardrails have their own.
	SuppressWhile SuppressWhile
	Active        []Interval // acts only in one of them; none: always
	Mute          []Interval // never acts in one of them
}

// Breaker stops a policy that fails again and again: Failures in a row (failed,
// interrupted or ineffective) open it for OpenFor, then one trial is let through.
// Failures of 0: there is none.
type Breaker struct {
	Failures int
	OpenFor  time.Duration
}

// Approval asks a person for consent to the plan.
type Approval struct {
	Required bool
	Timeout  time.Duration // then the request expires
}

// SuppressWhile is a condition under which nothing is done; its parts are OR.
type SuppressWhile struct {
	Upstream      string          // an upstream reports trouble, or is unknown
	Alert         labels.Matchers // another alert fires that all of them match
	PolicyRunning string          // a remediation of that policy is under way
}

// Interval is a named time interval of the configuration.
type Interval struct {
	Name  string
	Times []timeinterval.TimeInterval
}

// Guardrail is a guard bound to what is done to which target, whatever policy
// asks for it and by whatever means.
type Guardrail struct {
	Name          string
	Targets       []string
	Actions       []string // kinds; none: any change
	SuppressWhile SuppressWhile
}

// Upstream is what guards need of an upstream beside its recorded state.
type Upstream struct {
	Name           string
	StaleAfter     time.Duration
	UnknownAllows  bool // `unknown: allow`
	ResumeAfter    time.Duration
	MaxSuppression time.Duration
	// LastGood is when its page last gave a good answer to this process; zero: not yet.
	LastGood time.Time
	// Untold: its page says something that is not on record yet.
	Untold bool
	// LastError is why the newest look at its page gave no good answer, "" when it did.
	LastError string
}

// Flap is when episodes of one fingerprint follow each other too often: Changes of
// them within Within, until none has come for Clear. Changes of 0: never.
type Flap struct {
	Changes       int
	Within, Clear time.Duration
}

// Storm is too many new episodes at once: Episodes within Within, until fewer have
// come for Clear. Episodes of 0: never.
type Storm struct {
	Episodes      int
	Within, Clear time.Duration
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
	// Manual policies are started by a person only and match no alert.
	Manual bool
	// HoldOnFailure quarantines the targets when a remediation fails after its
	// first effect, until an operator clears them.
	HoldOnFailure bool
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
