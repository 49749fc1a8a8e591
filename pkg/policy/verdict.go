package policy

import (
	"maps"
	"time"
)

// Verdict is what is to become of an episode under a policy (design §1).
type Verdict string

// Verdicts.
const (
	Execute       Verdict = "execute"
	Suppress      Verdict = "suppress"
	Defer         Verdict = "defer"
	AwaitApproval Verdict = "await_approval"
	Ignore        Verdict = "ignore"
)

// Code is a reason's machine-readable name (design §5, reason codes by verdict).
type Code string

// Codes of the contract, by verdict. Each belongs to one, see VerdictOf.
const (
	CodeAllowed Code = "allowed"

	CodeNoPolicy  Code = "no_policy"
	CodeResolved  Code = "resolved"
	CodeDuplicate Code = "duplicate"
	CodeJoined    Code = "joined"
	CodeStale     Code = "stale"
	CodeOwnAlert  Code = "own_alert"

	CodeTooYoung     Code = "too_young"
	CodeTargetBusy   Code = "target_busy"
	CodeSettling     Code = "settling"
	CodeCooldown     Code = "cooldown"
	CodeRateLimit    Code = "rate_limit"
	CodeBreakerOpen  Code = "breaker_open"
	CodeBlastRadius  Code = "blast_radius"
	CodeFlapping     Code = "flapping"
	CodeStorm        Code = "storm"
	CodeAlertUnknown Code = "alert_unknown"

	CodeApproval Code = "approval"

	CodePaused           Code = "paused"
	CodeSelf             Code = "self"
	CodeTimeInterval     Code = "time_interval"
	CodeUpstreamIncident Code = "upstream_incident"
	CodeUpstreamUnknown  Code = "upstream_unknown"
	CodeAlertFiring      Code = "alert_firing"
	CodePolicyRunning    Code = "policy_running"
	CodeDependency       Code = "dependency"
	CodeQuarantined      Code = "quarantined"
	CodeStoppedByPerson  Code = "stopped_by_person"
	CodeAttempts         Code = "attempts"
	CodeSilenced         Code = "silenced"
	CodeNotConfirmed     Code = "not_confirmed"
	CodeUnconfirmable    Code = "unconfirmable"
	CodeTargetNotFound   Code = "target_not_found"
)

var verdicts = map[Code]Verdict{
	CodeAllowed: Execute,

	CodeNoPolicy: Ignore, CodeResolved: Ignore, CodeDuplicate: Ignore, CodeJoined: Ignore,
	CodeStale: Ignore, CodeOwnAlert: Ignore,

	CodeTooYoung: Defer, CodeTargetBusy: Defer, CodeSettling: Defer, CodeCooldown: Defer,
	CodeRateLimit: Defer, CodeBreakerOpen: Defer, CodeBlastRadius: Defer, CodeFlapping: Defer,
	CodeStorm: Defer, CodeAlertUnknown: Defer,

	CodeApproval: AwaitApproval,

	CodePaused: Suppress, CodeSelf: Suppress, CodeTimeInterval: Suppress,
	CodeUpstreamIncident: Suppress, CodeUpstreamUnknown: Suppress, CodeAlertFiring: Suppress,
	CodePolicyRunning: Suppress, CodeDependency: Suppress, CodeQuarantined: Suppress,
	CodeStoppedByPerson: Suppress, CodeAttempts: Suppress, CodeSilenced: Suppress,
	CodeNotConfirmed: Suppress, CodeUnconfirmable: Suppress, CodeTargetNotFound: Suppress,
}

// VerdictOf is the one verdict that a code belongs to. A code that nobody knows
// never lets anything run.
func VerdictOf(c Code) Verdict {
	if v, ok := verdicts[c]; ok {
		return v
	}
	return Suppress
}

// Codes are all codes with their verdicts.
func Codes() map[Code]Verdict {
	out := make(map[Code]Verdict, len(verdicts))
	maps.Copy(out, verdicts)
	return out
}

// Answer is what one guard says. The zero Answer allows.
type Answer struct {
	Guard string
	Code  Code
	Text  string
	// Until is when the guard lifts by itself; zero when time alone does not lift it.
	Until time.Time
	// TellAt is when people are told, once, if it still refuses then; zero: never.
	TellAt time.Time
}

// Allows says whether the guard lets the action pass.
func (a Answer) Allows() bool { return a.Code == "" || a.Code == CodeAllowed }

// Decision is the answer of all guards together.
type Decision struct {
	Verdict Verdict
	Code    Code
	Text    string
	Until   time.Time // of the first refusal
	TellAt  time.Time // of the first refusal
	Guard   string    // that refused, "" when allowed
	Answers []Answer
	// Join is the remediation that a `joined` or `duplicate` episode belongs to.
	Join string
}

// Reasoned is a decision for a cause that lies outside the guards (no policy, not
// confirmed, …), with the code's own verdict.
func Reasoned(c Code, text string) Decision {
	return Decision{Verdict: VerdictOf(c), Code: c, Text: text}
}
