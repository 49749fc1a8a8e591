// Package actions is how: the contract that every check and action fulfils, and
// the registry of their kinds (design §6). A kind is one file in a technology's
// sub-package, its test, its page under docs/actions and one line in the
// sub-package's list of kinds.
//
// The contract separates looking from touching. A Step holds only read-only
// clients. What changes the world is reached through Hands, which the engine
// passes to Apply alone, and only in live mode: in dry run there is nothing in
// them, so planning cannot mutate by construction.
package actions

import (
	"context"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/alert"
)

// Class says what a kind does to the world.
type Class string

// Classes of kinds.
const (
	Reads    Class = "check"    // only reads
	Changes  Class = "action"   // has an effect on its targets
	Tells    Class = "tell"     // tells people: escalate, notify; runs whatever is unknown
	Evidence Class = "evidence" // gathers: diagnose; runs whatever is unknown, never decides
)

// Kind is one value of a step's `uses`.
type Kind struct {
	Name  string // technology.verb: "docker.restart"
	Class Class
	// Outputs are the fields of a result beside ok, unknown and text, each with
	// an example value, so that `if` expressions are type-checked at load.
	Outputs map[string]any
	// Timeout of one run when the step sets none.
	Timeout time.Duration
	// Recheckable marks an action whose lost result the verify checks may judge
	// after a crash: docker.start, docker.stop and docker.restart (design §5).
	Recheckable bool
	// Decode reads a step's `with` (nil when absent) strictly. Errors are
	// strictyaml.Mistakes with places. The Step is immutable.
	Decode func(with *yaml.Node) (Step, error)
}

// Step is a decoded step. It is also a Check, an Action, a Teller or a Gatherer,
// as its kind's Class says.
type Step interface {
	// Needs names the ids of earlier steps that its templates read.
	Needs() []string
	// Targets are all targets the step could touch given the alert and the
	// results known so far: exact when Exact, else every target it might choose
	// (a dynamic selector's `among`, or all declared ones). Nothing for a check,
	// unless it reads a service (then Services of the target, for verify).
	Targets(Scope) (Targets, error)
}

// Targets of a step, sorted: "docker:local/indexer".
type Targets struct {
	Names []string
	Exact bool
}

// Check is a step that only reads. An error it can interpret is part of the
// Result (ok, not ok, unknown); it never returns a Go error.
type Check interface {
	Step
	Check(ctx context.Context, s Scope) Result
}

// Waiter is what a Check may implement as well when it can be told of a change
// instead of asking again and again.
type Waiter interface {
	// Await returns as soon as the result is as wanted (known, and ok as wantOK
	// says), or, when ctx ends first, the last result seen. The caller bounds ctx.
	Await(ctx context.Context, s Scope, wantOK bool) Result
}

// Action is a step that changes something.
type Action interface {
	Step
	// Plan computes, by reading only, the exact objects that Apply would change.
	Plan(ctx context.Context, s Scope) (Plan, error)
	// Apply carries out exactly the plan: nothing that is not listed in it.
	Apply(ctx context.Context, s Scope, p Plan, h Hands) (Result, error)
}

// Starter is what an Action may implement that starts containers: it says whether
// one that is stopped for an unknown cause is started without asking
// (`when_stopped: start`).
type Starter interface{ StartsStopped() bool }

// Teller is a step that tells people. The engine records and sends the message.
type Teller interface {
	Step
	Tell(s Scope) (Message, error)
}

// Gatherer is a step that gathers evidence. It never fails a run.
type Gatherer interface {
	Step
	Gather(ctx context.Context, s Scope) Result
}

// Scope is what a step may read: the alert as it is now and the results of
// earlier steps. Templates see Labels, Annotations, StartsAt, Status,
// Fingerprint, GeneratorURL, Policy, Remediation and Steps.
type Scope struct {
	Now         time.Time
	Alert       alert.Alert
	Episode     string
	Policy      string
	Runbook     string
	Severity    string
	Remediation string
	// EpisodeStart is when the episode began (the alert's startsAt at opening).
	EpisodeStart time.Time
	// Steps are the results known so far, by step id.
	Steps map[string]Result
}

// Result of a check or an action.
type Result struct {
	OK      bool           `json:"ok"`
	Unknown bool           `json:"unknown,omitempty"` // neither yes nor no; OK is false
	Text    string         `json:"text,omitempty"`    // one sentence for people
	Assumed bool           `json:"assumed,omitempty"` // not run (dry run), counted as ok
	Skipped bool           `json:"skipped,omitempty"` // not run
	Outputs map[string]any `json:"outputs,omitempty"` // capped, redacted
}

// Plan is what an action would change.
type Plan struct {
	Uses    string         `json:"uses"`
	Targets []string       `json:"targets"`
	Objects []Object       `json:"objects,omitempty"`
	Args    map[string]any `json:"args,omitempty"` // rendered arguments; part of the hash
	Text    string         `json:"text"`           // one sentence for people
	// Conditional: whether or on what it acts depends on a result not known yet.
	Conditional bool `json:"conditional,omitempty"`
}

// Object is one thing that a plan would change. Kind, ID and Name are part of
// the plan's hash; Detail (ages, sizes, states) never is.
type Object struct {
	Kind   string         `json:"kind"` // container, …
	ID     string         `json:"id"`
	Name   string         `json:"name,omitempty"`
	Detail map[string]any `json:"detail,omitempty"`
}

// Message is what a Teller says.
type Message struct {
	To   []string `json:"to"`   // receivers; empty: the policy's own
	Text string   `json:"text"` // the reason, rendered
	Ends bool     `json:"ends"` // escalate: ends the remediation
}

// Hands are the clients that can change something, by name ("docker:local").
// The zero value has none.
type Hands struct{ m map[string]any }

// NewHands wraps clients. Only the composition root makes them.
func NewHands(m map[string]any) Hands { return Hands{m: m} }

// Hand is the client of the given name, or an error: in dry run there are none.
func Hand[T any](h Hands, name string) (T, error) {
	v, ok := h.m[name].(T)
	if !ok {
		var zero T
		return zero, &Error{Code: CodeForbidden, Err: noHandError(name)}
	}
	return v, nil
}

type noHandError string

func (e noHandError) Error() string {
	return string(e) + ": no client that may change anything is available here (dry run)"
}
