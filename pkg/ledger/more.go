package ledger

import (
	"time"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

// Upstream is the recorded state of an upstream.
type Upstream struct {
	upstream.Change
	Recorded time.Time // of the record
}

// Upstream by name: the newest upstream.changed.
func (v View) Upstream(name string) (Upstream, bool) { return Upstream{}, false }

// Openings are the times at which episodes of a fingerprint were opened or
// reopened within Retain, oldest first, at most the newest 100.
func (v View) Openings(fingerprint string) []time.Time { return nil }

// Streak is how a policy has done lately, live remediations with a result only
// (design §4, breaker).
type Streak struct {
	Failures int       // in a row, up to the newest result: failed, interrupted, ineffective
	Last     time.Time // of the newest failure: when it closed, or was found ineffective
	// Pending is the newest remediation that ended well after Last and whose effect
	// on the alert is not known yet, "" for none.
	Pending string
}

// Streak of a policy.
func (v View) Streak(policy string) Streak { return Streak{} }

// Quarantine is a target that nobody but a person may touch.
type Quarantine struct {
	Target, Remediation, Policy string
	Since                       time.Time
	Text                        string // why
}

// Quarantined says whether a target is in quarantine.
func (v View) Quarantined(target string) (Quarantine, bool) { return Quarantine{}, false }

// Quarantines are all of them, by target.
func (l *Ledger) Quarantines() []Quarantine { return nil }

// Ours says whether an intent of ours on the target was under way at a time, or
// had ended less than slack before.
func (v View) Ours(target string, at time.Time, slack time.Duration) bool { return false }

// StopSeen is the data of a decision that found a person's stop: it is remembered
// when Docker's events are long gone.
type StopSeen struct {
	Target    string    `json:"target"`
	Container string    `json:"container"`
	At        time.Time `json:"at"`
}

// PersonStopped says whether a stop is known to be a person's.
func (v View) PersonStopped(s StopSeen) bool { return false }

// FiringWhere is the open episode with the earliest start, other than one, for
// which match answers yes.
func (v View) FiringWhere(except string, match func(labels map[string]string) bool) (Episode, bool) {
	return Episode{}, false
}

// ExpiredPlan says whether consent to a plan was asked for in the episode (along
// its lineage) by a policy, and the request expired.
func (v View) ExpiredPlan(policy, episode, hash string) bool { return false }
