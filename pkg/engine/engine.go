// Package engine is the only place that moves a remediation: from an accepted
// alert through guards, confirmation and plan to effects, verification, outcome
// and, after a crash, recovery. One goroutine (the loop) decides; each remediation
// runs in a goroutine of its own; all of them speak through the audit log.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/dispatch"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// Rules with a number in design §5.
const (
	Fresh           = 5 * time.Minute  // a notification younger than this needs no question
	ReconcileEvery  = time.Minute      // open episodes are compared with Alertmanager
	AbsentFor       = 10 * time.Minute // absence closes an episode after this long
	IntentBudget    = 5 * time.Second  // an intent that is not durable by then is abandoned
	RetryFirst      = 30 * time.Second // not_confirmed, unconfirmable, target_not_found
	RetryMost       = 5 * time.Minute
	AskAgain        = time.Minute // silenced, alert_unknown, absent
	storeRetryFirst = 100 * time.Millisecond
	storeRetryMost  = 5 * time.Second
)

// Journal is the audit log as the engine uses it.
type Journal interface {
	Append(ctx context.Context, recs ...*audit.Record) error
	Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error
}

// Options of an engine. Journal, Ledger, Snapshot and Logger are required. The
// journal's OnCommit must apply records to the same ledger and then call Committed.
type Options struct {
	Journal  Journal
	Ledger   *ledger.Ledger
	Snapshot *Snapshot
	Logger   *zap.Logger
	Metrics  Metrics
	// Version of the program, for daemon.started.
	Version string
	Now     func() time.Time
	NewID   func(prefix string) string
	// Boundary is called at each stage boundary with its name; tests crash there.
	Boundary func(name string)
}

// Metrics is told what happens. All label values are bounded.
type Metrics interface {
	Decided(policy, verdict, code string)
	Closed(policy, outcome string, d time.Duration)
	Step(uses, outcome string, d time.Duration)
	Effect(policy, effect string)
}

// Engine decides and does.
type Engine struct {
	journal  Journal
	ledger   *ledger.Ledger
	log      *zap.Logger
	metrics  Metrics
	now      func() time.Time
	newID    func(prefix string) string
	boundary func(string)
	version  string

	snap atomic.Pointer[Snapshot]
	view atomic.Pointer[View]

	wake     chan struct{} // notifications were committed
	world    chan struct{} // services have changed
	commands chan func()   // run by the loop
	done     chan result   // remediations that ended
	stopping chan struct{} // closed by Stop
	runs     sync.WaitGroup
	loopEnd  chan struct{}
	cancel   context.CancelFunc
	// reads is done once Stop is called: checks and plans need not be waited for.
	reads     context.Context //nolint:containedctx // it is the engine's life, not a call's
	stopReads context.CancelFunc
	// intents makes guards and intent of one effect one step: two remediations
	// that both see room for one more must not both take it. A channel, so that
	// who waits can be seen to wait (testing/synctest).
	intents chan struct{}

	// Owned by the loop.
	sched   *dispatch.Scheduler // of live remediations
	dry     *dispatch.Scheduler // of rehearsals, which stand in nobody's way
	timers  *dispatch.Timers
	active  map[string]*run            // by remediation
	retries map[string]int             // by case: quiet repetitions in a row
	ended   map[string]ended           // by case: its last run
	cases   map[string]caseID          // waiting cases
	filed   map[string]map[string]bool // keys of cases by episode
	handled map[string]*run            // by case: the active remediation that it belongs to
	watched map[string]bool            // remediations whose effect is not known yet
	absent  map[string]AlertState
	waits   *waits
	batch   *batch // nil: decisions are recorded one by one
	about   *about
	storm   *storm
	speaks  map[string]string // upstream: its open episode
	newest  time.Time         // the clock's newest time
	taken   uint64            // newest notification taken in
}

// New makes an engine that does nothing until Start.
func New(o Options) *Engine {
	e := &Engine{
		journal: o.Journal, ledger: o.Ledger, log: o.Logger, metrics: o.Metrics, now: o.Now, newID: o.NewID,
		boundary: o.Boundary, version: o.Version,
		wake: make(chan struct{}, 1), commands: make(chan func()), done: make(chan result),
		stopping: make(chan struct{}), loopEnd: make(chan struct{}), intents: make(chan struct{}, 1),
		timers: dispatch.NewTimers(), active: map[string]*run{}, retries: map[string]int{}, ended: map[string]ended{},
		cases: map[string]caseID{}, filed: map[string]map[string]bool{}, handled: map[string]*run{}, watched: map[string]bool{}, absent: map[string]AlertState{},
		world: make(chan struct{}, 1), waits: newWaits(), about: newAbout(), storm: &storm{rule: o.Snapshot.Storm}, speaks: map[string]string{},
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.newID == nil {
		e.newID = func(prefix string) string { return newID(prefix, e.now()) }
	}
	if e.boundary == nil {
		e.boundary = func(string) {}
	}
	if e.metrics == nil {
		e.metrics = noMetrics{}
	}
	e.sched, e.dry = dispatch.NewScheduler(o.Snapshot.MaxConcurrent), dispatch.NewScheduler(o.Snapshot.MaxConcurrent)
	e.snap.Store(o.Snapshot)
	e.view.Store(&View{})
	return e
}

type noMetrics struct{}

func (noMetrics) Decided(string, string, string)       {}
func (noMetrics) Closed(string, string, time.Duration) {}
func (noMetrics) Step(string, string, time.Duration)   {}
func (noMetrics) Effect(string, string)                {}

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID is readable, sorts by time and matches [a-z0-9-]+.
func newID(prefix string, now time.Time) string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return prefix + "-" + now.UTC().Format("20060102-150405") + "-" + strings.ToLower(encoding.EncodeToString(b[:]))
}

// NotificationData is the data of notification.received.
type NotificationData struct {
	Payload   json.RawMessage `json:"payload"`
	Remote    string          `json:"remote,omitempty"`
	Truncated uint64          `json:"truncated_alerts,omitempty"`
}

// Accept makes a notification durable. Its alerts are taken in afterwards, also
// when the daemon dies between the two. actor is who sent it.
func (e *Engine) Accept(ctx context.Context, n *alert.Notification, raw json.RawMessage, actor, remote string) error {
	if n.TruncatedAlerts > 0 {
		e.log.Warn("notification is truncated: raise max_alerts of the webhook receiver in Alertmanager",
			zap.Uint64("truncated_alerts", n.TruncatedAlerts), zap.String("group", n.GroupKey))
	}
	return e.journal.Append(ctx, &audit.Record{
		Type: audit.NotificationReceived, Mode: string(e.snap.Load().Mode), Actor: actor,
		Config: e.snap.Load().Hash,
		Data:   audit.JSON(NotificationData{Payload: raw, Remote: remote, Truncated: n.TruncatedAlerts}),
	})
}

// Committed tells the engine that records were committed; it never blocks.
func (e *Engine) Committed(recs []*audit.Record) {
	for _, r := range recs {
		if r.Type == audit.NotificationReceived {
			select {
			case e.wake <- struct{}{}:
			default:
			}
			return
		}
	}
}

// errStopping: the engine is being stopped.
var errStopping = errors.New("remediator is stopping")

// mustAppend writes records however long the store is away; it gives up only when
// ctx ends. Whoever calls it keeps what it holds meanwhile.
func (e *Engine) mustAppend(ctx context.Context, recs ...*audit.Record) error {
	if len(recs) == 0 {
		return nil
	}
	wait := storeRetryFirst
	for {
		err := e.journal.Append(ctx, recs...)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, audit.ErrClosed) {
			return err
		}
		if errors.Is(err, audit.ErrInvalid) {
			if !withoutForeign(recs, err) {
				return err
			}
			continue
		}
		e.log.Error("the audit store does not take records; waiting", zap.Error(err), zap.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, storeRetryMost)
	}
}

// withoutForeign replaces what steps gave (plans, results), which may be something
// that cannot be written as JSON, by a note. What the engine itself says stays: a
// record that could never be written must not hold its target for ever. It says
// whether there was anything to replace.
func withoutForeign(recs []*audit.Record, cause error) bool {
	found := false
	for _, r := range recs {
		if len(r.Plan) == 0 && len(r.Result) == 0 {
			continue
		}
		note := audit.JSON(map[string]any{"ok": false, "text": "could not be recorded: " + cause.Error(), "withheld": true})
		if string(r.Result) == string(note) {
			continue
		}
		found = true
		r.Plan, r.Result = nil, note
	}
	return found
}

// stamp fills in what every record of a policy carries.
func (e *Engine) stamp(r *audit.Record, p *policy.Policy, snap *Snapshot) *audit.Record {
	if p != nil {
		r.Policy, r.Runbook, r.Severity = p.Name, p.Runbook, p.Severity
	}
	if r.Actor == "" {
		r.Actor = "system"
	}
	r.Config = snap.Hash
	return r
}

// schedOf is the scheduler that a run belongs to.
func (e *Engine) schedOf(r *run) *dispatch.Scheduler {
	if r.mode == policy.DryRun {
		return e.dry
	}
	return e.sched
}

// busy maps each target that is locked to who holds it, as decisions of a mode see
// it: a rehearsal sees live work, live work sees no rehearsal.
func (e *Engine) busy(mode policy.Mode) map[string]string {
	out := e.sched.Busy()
	if mode == policy.DryRun {
		for t, id := range e.dry.Busy() {
			if out[t] == "" {
				out[t] = id
			}
		}
	}
	return out
}

// mode is what applies to a policy under the newest configuration.
func (s *Snapshot) mode(p *policy.Policy) policy.Mode { return policy.Stricter(s.Mode, p.Mode) }
