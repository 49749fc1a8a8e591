// Package handlers is the HTTP side of remediator and nothing else: the webhook,
// the API, health, metrics and control, each a function that returns an error
// and is wrapped once. What it needs from the rest are the small interfaces in
// this file; the composition root wires them.
package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

// Errors that implementations of the interfaces return, wrapped or not. A
// *problem.Problem is sent as it is; anything else is a 500 whose cause goes to
// the log only.
var (
	ErrNotFound = errors.New("not found")               // 404
	ErrConflict = errors.New("not in a state for that") // 409, with the error's text
	ErrInvalid  = errors.New("invalid request")         // 400, with the error's text
	ErrRejected = errors.New("configuration rejected")  // 422, with the error's text
)

// Intake takes notifications in.
type Intake interface {
	// Accept returns nil once the notification is durable. Any error is answered
	// 503, so that Alertmanager sends it again. The context ends after ten
	// seconds, not when the caller hangs up. raw is the body as it came.
	Accept(ctx context.Context, n *alert.Notification, raw json.RawMessage, remote string) error
}

// Health tells whether notifications can be taken.
type Health interface {
	// Ready is nil, or why not, in words fit for anybody.
	Ready(ctx context.Context) error
}

// Reader answers what is going on.
type Reader interface {
	Status(ctx context.Context) (*Status, error)
	Remediations(ctx context.Context, q RemediationQuery) (*Page[Remediation], error)
	// Remediation returns ErrNotFound for an unknown id.
	Remediation(ctx context.Context, id string) (*RemediationDetail, error)
	// Upstreams are the third parties that are watched.
	Upstreams(ctx context.Context) ([]Upstream, error)
	// Alerts are the open episodes.
	Alerts(ctx context.Context) ([]Alert, error)
	// Policies are those of the configuration in force.
	Policies(ctx context.Context) ([]Policy, error)
}

// Journal reads the audit log.
type Journal interface {
	// Scan calls fn for each record that matches.
	Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error
	// Follow does the same and then waits for new ones, until ctx ends or fn fails.
	Follow(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error
}

// Controller does what an operator asks. actor is "user:NAME", or "system" where
// nobody in particular is known.
type Controller interface {
	// Reload returns ErrRejected with the mistakes when the file is refused.
	Reload(ctx context.Context, actor string) error
	Pause(ctx context.Context, actor string, p PauseRequest) error
	Resume(ctx context.Context, actor string, r ResumeRequest) error
	ResumeHeld(ctx context.Context, actor, id string) error
	Cancel(ctx context.Context, actor, id, reason string) error
	// Approve returns a PlanChangedError where consent is asked for another plan,
	// ErrConflict where none is asked for.
	Approve(ctx context.Context, actor, id, planHash, reason string) error
	Reject(ctx context.Context, actor, id, reason string) error
	// Run returns ErrNotFound for an unknown policy. Guards that refuse are no error:
	// the answer says so.
	Run(ctx context.Context, actor string, r RunRequest) (*RunAnswer, error)
	// Clear returns ErrNotFound for a target that is in no quarantine.
	Clear(ctx context.Context, actor, target, reason string) error
	// Plan is the array of design §8, without any effect.
	Plan(ctx context.Context, n *alert.Notification) (any, error)
}

// Deps is what the endpoints are made of. All but Metrics are required.
type Deps struct {
	Intake      Intake
	Health      Health
	Reader      Reader
	Journal     Journal
	Controller  Controller
	Metrics     http.Handler
	ParseFilter func(url.Values) (audit.Filter, error) // of GET /api/v1/audit
	Logger      *zap.Logger
}

// Page is a list as every listing endpoint answers it. Next, where not empty, is
// the value of `after` that continues it.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Scope of a pause: one policy, one target, or, with both empty, everything.
type Scope struct {
	Policy string `json:"policy,omitempty"`
	Target string `json:"target,omitempty"`
}

// PauseRequest stops effects within a scope, for good or until a time.
type PauseRequest struct {
	Scope
	Reason string     `json:"reason,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
}

// ResumeRequest lifts the pause of exactly that scope.
type ResumeRequest struct {
	Scope
	Reason string `json:"reason,omitempty"`
}

// Pause is one that holds now.
type Pause struct {
	PauseRequest
	Actor string    `json:"actor"`
	Since time.Time `json:"since"`
}

// Status is the answer of GET /api/v1/status.
type Status struct {
	Version      string         `json:"version"`
	Replica      string         `json:"replica"`
	Mode         string         `json:"mode"`
	Started      time.Time      `json:"started"`
	Ready        bool           `json:"ready"`
	NotReady     string         `json:"not_ready,omitempty"` // why
	Config       ConfigStatus   `json:"config"`
	Audit        audit.Head     `json:"audit"`
	Pauses       []Pause        `json:"pauses"`
	OpenEpisodes int            `json:"open_episodes"`
	Remediations map[string]int `json:"remediations"` // not closed, by state

	Active           []Active       `json:"active"` // not closed, oldest first
	AwaitingApproval []Awaiting     `json:"awaiting_approval"`
	Quarantined      []Quarantine   `json:"quarantined"`
	Upstreams        []UpstreamLine `json:"upstreams"`

	// Firing are the open alerts that a policy refuses and nothing works at, oldest
	// first: at most ten, FiringMore are not listed.
	Firing     []Firing `json:"firing"`
	FiringMore int      `json:"firing_more,omitempty"`
	// Docker are the engines that cannot be looked at: nothing can be done there.
	Docker []DockerLine `json:"docker"`
}

// ConfigStatus is what is loaded, and how the last attempt to load went.
type ConfigStatus struct {
	Hash      string    `json:"hash"`
	Loaded    time.Time `json:"loaded"`
	LastError string    `json:"last_error,omitempty"`
}

// RemediationQuery selects remediations, newest first. Zero fields select all.
type RemediationQuery struct {
	State, Policy, Target, Alert string
	Since, Until                 time.Time
	Limit                        int    // 1 to 1000
	After                        string // Page.Next of the page before
}

// Remediation is one attempt, as lists show it.
type Remediation struct {
	ID       string        `json:"id"`
	State    string        `json:"state"`
	Mode     string        `json:"mode"`
	Policy   string        `json:"policy"`
	Runbook  string        `json:"runbook,omitempty"`
	Severity string        `json:"severity,omitempty"`
	Targets  []string      `json:"targets,omitempty"`
	Episodes []string      `json:"episodes,omitempty"`
	Verdict  string        `json:"verdict,omitempty"`
	Reason   *audit.Reason `json:"reason,omitempty"`
	Outcome  string        `json:"outcome,omitempty"`
	Effect   string        `json:"effect,omitempty"`
	Error    string        `json:"error,omitempty"`
	Opened   time.Time     `json:"opened"`
	Closed   *time.Time    `json:"closed,omitempty"`
}

// RemediationDetail adds the plan, consent to it and the audit records of the remediation, in
// their order and their stored form.
type RemediationDetail struct {
	Remediation
	Plan     json.RawMessage   `json:"plan,omitempty"`
	PlanHash string            `json:"plan_hash,omitempty"`
	Approval *Approval         `json:"approval,omitempty"`
	Records  []json.RawMessage `json:"records"`
}
