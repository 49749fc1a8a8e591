package engine

import (
	"context"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// Snapshot is one loaded configuration, immutable. A running remediation keeps
// the one it was started with; pause, mode and guardrails come from the newest.
type Snapshot struct {
	Hash          string // of the configuration, for the records
	Mode          policy.Mode
	Policies      *policy.Set
	Runbooks      map[string]*Runbook // by policy name
	GlobalLimits  []policy.Limit
	MaxConcurrent int
	Hands         actions.Hands
	Alerts        AlertSource // nil: Alertmanager is not asked, confirm decides alone
	Self          *Self
	Targets       map[string]bool // all declared ones
	Guardrails    []policy.Guardrail
	Flap          policy.Flap
	Storm         policy.Storm
	MaxUnhealthy  int            // see policy.Input
	World         WorldSource    // nil: nothing is known of services
	Upstreams     UpstreamSource // nil: there are none
	// Redact replaces secrets in what a step gave back. Never nil.
	Redact func(actions.Result) actions.Result
	// RedactPlan does the same for a plan that is shown or recorded. Never nil.
	RedactPlan func(actions.Plan) actions.Plan
	// RedactText does the same for a sentence.
	RedactText func(string) string
}

// Runbook is a policy with what it does.
type Runbook struct {
	Policy    *policy.Policy
	Confirm   []*Step
	Steps     []*Step
	Verify    []*Step
	OnFailure []*Step
	// Hash of the runbook as configured: a held remediation resumes only into
	// the same one.
	Hash string
}

// What happens to a step whose target a guard refuses.
const (
	RefusedEnd  = "end"
	RefusedSkip = "skip"
	RefusedWait = "wait"
)

// Phases of a runbook, as in records.
const (
	PhaseConfirm   = "confirm"
	PhaseSteps     = "steps"
	PhaseVerify    = "verify"
	PhaseOnFailure = "on_failure"
)

// Step is one configured step.
type Step struct {
	Index           int
	Phase           string
	ID              string
	Kind            actions.Kind
	Run             actions.Step
	If              *Condition
	ExpectFailure   bool
	Within          time.Duration
	Timeout         time.Duration
	ContinueOnError bool
	OnRefused       string
	Approval        policy.Approval // of this step alone
}

func (s *Step) changes() bool { return s.Kind.Class == actions.Changes }

func (s *Step) timeout() time.Duration {
	switch {
	case s.Timeout > 0:
		return s.Timeout
	case s.Kind.Timeout > 0:
		return s.Kind.Timeout
	default:
		return 30 * time.Second
	}
}

// AlertState is what Alertmanager's API says of one alert.
type AlertState string

// States of Alertmanager's API.
const (
	StateActive      AlertState = "active"
	StateSuppressed  AlertState = "suppressed" // silenced or inhibited
	StateUnprocessed AlertState = "unprocessed"
)

// CurrentAlert is an alert that Alertmanager holds.
type CurrentAlert struct {
	Alert alert.Alert
	State AlertState
}

// AlertSource asks Alertmanager's API which alerts it holds.
type AlertSource interface {
	// Current gives all alerts it holds, by fingerprint, and when it was started.
	Current(ctx context.Context) (alerts map[string]CurrentAlert, started time.Time, err error)
}
