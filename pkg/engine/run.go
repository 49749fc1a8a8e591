package engine

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

// States of a run, for the view.
const (
	stateQueued int32 = iota
	stateRunning
	stateHeld
	stateAsking
)

// run is one remediation on its way through the stages. Its goroutine owns the
// unguarded fields; the loop owns it before it starts and after it ends.
type run struct {
	e       *Engine
	id      string
	snap    *Snapshot // as it was started with
	book    *Runbook
	mode    policy.Mode
	targets []string // all it may touch: locked
	log     *zap.Logger
	rec     recorder
	state   atomic.Int32
	orders  chan order
	created time.Time

	mu        sync.Mutex        // guards episodes and satisfied
	episodes  []string          // the first asked for it, others joined
	satisfied map[string]string // guards that a person's consent satisfied, with who it was

	asks       []string // guards that ask for consent
	granted    *grant   // consent to the whole plan
	grantedFor []string // the guards that it was for
	postponed  int      // times that it was put off, see postpone
	stepGrants map[stepKey]grant
	stepPlans  map[stepKey]PlanStep    // of steps that ask for consent of their own
	asking     atomic.Pointer[request] // what is asked for now
	holding    atomic.Pointer[request] // the hold that an order may end; each has its own

	started  time.Time
	waited   time.Duration // held or waiting: the deadline stands still
	results  map[string]actions.Result
	ran      map[int]bool // steps that are done or skipped
	tried    map[int]bool // the same of on_failure
	plans    []PlanStep
	touched  map[string]bool
	began    bool // an intent was carried out, or may have been
	partial  bool
	refusals []policy.Decision
	skipped  map[string]bool // targets whose step a guard skipped
	world    services.World  // as it was looked at for the newest effect
	failed   bool            // found after a crash: a step or verify had failed before
	resumed  bool            // found after a crash
	phase    string          // on_failure, once it has failed
	before   string          // failure of the case's last run, before its first effect
	foreign  bool            // of a policy that has changed since: it can only be cancelled
	fixed    *ledger.Episode // plan: the episode as it would be
	looking  context.Context //nolint:containedctx // plan: instead of the engine's
	looked   []CheckLine     // plan: what was asked
}

// order is what an operator asks of a held remediation, or of one that asks for
// consent after its first effect.
type order struct {
	cancel bool
	actor  string
	reason string
	asked  *request   // the request, or the hold, that is answered
	taken  chan error // told whether the order was for what the run waits for
}

// ending is how a run ended; nil between stages means: go on.
type ending struct {
	outcome  string
	decision *policy.Decision // withdrawn before the first effect
	reason   audit.Reason
	err      string
	shutdown bool // a graceful stop interrupted it
	left     bool // still held: nothing is recorded, the next start finds it
	asking   *request
	verified bool
}

// failure before the first effect, "" for any other ending.
func (e *ending) failure(r *run) string {
	if r.began || e.outcome != OutcomeFailed {
		return ""
	}
	return e.reason.Code + ": " + e.err
}

// Outcomes (design §1).
const (
	OutcomeSucceeded   = "succeeded"
	OutcomeUnverified  = "unverified"
	OutcomeFailed      = "failed"
	OutcomePartial     = "partial"
	OutcomeNoAction    = "no_action"
	OutcomeEscalated   = "escalated"
	OutcomeInterrupted = "interrupted"
	OutcomeCancelled   = "cancelled"
	OutcomePlanned     = "planned"
	OutcomeExpired     = "expired"
)

// result tells the loop that a run has ended.
type result struct {
	run *run
	end *ending
}

// stage is one part of a remediation's way.
type stage struct {
	name string // of the boundary after it
	do   func(*run, context.Context) *ending
}

// stages in their order. Locks are held before the first and until the last.
var stages = []stage{
	{"firing", (*run).stillFiring},
	{"confirmed", (*run).confirm},
	{"planned", (*run).plan},
	{"consented", (*run).consent},
	{"stepped", (*run).apply},
	{"verified", (*run).verify},
}

func (e *Engine) newRun(snap *Snapshot, rb *Runbook, ep ledger.Episode, d decision) *run {
	r := &run{
		e: e, id: e.newID("r"), snap: snap, book: rb, mode: snap.mode(rb.Policy), targets: d.possible,
		episodes: []string{ep.ID}, orders: make(chan order), created: e.now(), stepGrants: map[stepKey]grant{}, stepPlans: map[stepKey]PlanStep{},
	}
	r.begin()
	r.rec.e = e
	r.log = e.log.With(zap.String("remediation", r.id), zap.String("policy", rb.Policy.Name),
		zap.String("episode", ep.ID), zap.String("fingerprint", ep.Fingerprint), zap.String("mode", string(r.mode)))
	return r
}

// begin forgets what an earlier pass found out: one that asked for consent looks at
// everything again. Nothing was changed by then.
func (r *run) begin() {
	r.tried = map[int]bool{}
	r.results, r.ran, r.touched, r.skipped = map[string]actions.Result{}, map[int]bool{}, map[string]bool{}, map[string]bool{}
	r.plans, r.refusals, r.partial, r.resumed, r.waited = nil, nil, false, false, 0
}

func (r *run) fields() []zap.Field {
	return []zap.Field{zap.String("remediation", r.id), zap.String("policy", r.book.Policy.Name)}
}

// joined are the episodes of the run.
func (r *run) joined() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.episodes)
}

func (r *run) add(episode string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.episodes, episode) {
		r.episodes = append(r.episodes, episode)
	}
}

// episode is the one the run acts for: the first that is in the state the policy
// acts on, else the one that asked.
func (r *run) episode() (ledger.Episode, bool) {
	if r.fixed != nil {
		return *r.fixed, true
	}
	var first ledger.Episode
	for i, id := range r.joined() {
		ep, ok := r.e.ledger.Episode(id)
		if i == 0 {
			first = ep
		}
		if ok && ep.Open == (r.book.Policy.On == policy.OnFiring) {
			return ep, true
		}
	}
	return first, false
}

// reads is the context of everything that only reads: it ends when the daemon stops.
func (r *run) reads() context.Context {
	if r.looking != nil {
		return r.looking
	}
	return r.e.reads
}

func (r *run) scope() actions.Scope {
	ep, _ := r.episode()
	s := scope(r.book, ep, r.id, r.e.now())
	maps.Copy(s.Steps, r.results)
	return s
}

// execute takes the run through its stages, closes it and says how it ended.
func (r *run) execute(ctx context.Context) result {
	r.started = r.e.now()
	r.log.Info("started", zap.Strings("targets", r.targets))
	r.e.boundary("locked")
	end := r.through(ctx)
	r.close(ctx, end)
	return result{r, end}
}

// through runs the stages. A panic in a step was caught there; one here is a fault
// of the engine and must not take the daemon down.
func (r *run) through(ctx context.Context) *ending {
	return r.guarded(func() *ending { return r.stages(ctx) })
}

// guarded turns a panic into a failed ending.
func (r *run) guarded(do func() *ending) (end *ending) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic in the engine", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			end = &ending{outcome: OutcomeFailed, err: fmt.Sprintf("panic: %v", p), reason: audit.Reason{Code: "panic", Text: "the engine failed; see the log"}}
		}
	}()
	return do()
}

func (r *run) stages(ctx context.Context) *ending {
	for _, s := range stages {
		if end := r.stopped(); end != nil {
			return end
		}
		if end := s.do(r, ctx); end != nil {
			return r.failing(ctx, end)
		}
		r.e.boundary(s.name)
	}
	return r.outcome()
}

// redacted is an error whose text has lost its secrets and whose cause is kept.
type redacted struct {
	error
	text string
}

// Error is the text without secrets.
func (e redacted) Error() string { return e.text }

// Unwrap gives the cause, for its code.
func (e redacted) Unwrap() error { return e.error }

// stopped ends the run at a step boundary when the daemon stops.
func (r *run) stopped() *ending {
	if !r.e.isStopping() {
		return nil
	}
	return &ending{outcome: OutcomeInterrupted, shutdown: true, reason: audit.Reason{Code: "shutdown", Text: "remediator was stopped; the current step was finished first"}}
}

// late ends a run that is past its deadline, at a step boundary.
func (r *run) late() *ending {
	limit := r.book.Policy.Settings.Deadline
	if limit <= 0 || r.e.now().Sub(r.started)-r.waited <= limit {
		return nil
	}
	return &ending{outcome: OutcomeFailed, reason: audit.Reason{Code: "deadline", Text: fmt.Sprintf("the deadline of %s has passed", limit)}}
}

func (r *run) between() *ending {
	if end := r.stopped(); end != nil {
		return end
	}
	return r.late()
}

// withdraw ends a run before its first effect with a decision.
func withdraw(d policy.Decision) *ending {
	out := OutcomeCancelled
	if d.Code == policy.CodeNotConfirmed || d.Code == policy.CodeResolved {
		out = OutcomeNoAction
	}
	return &ending{outcome: out, decision: &d, reason: audit.Reason{Code: string(d.Code), Text: d.Text}}
}

// outcome of a run that came through all stages.
func (r *run) outcome() *ending {
	end := &ending{reason: audit.Reason{Code: "verified", Text: "every verify check is ok"}, verified: true}
	switch {
	case r.partial:
		end.outcome, end.reason = OutcomePartial, audit.Reason{Code: "partial", Text: "a step was skipped; the rest was done"}
	case len(r.book.Verify) == 0:
		end.outcome, end.reason = OutcomeUnverified, audit.Reason{Code: "unverified", Text: "the policy has no verify checks"}
	default:
		end.outcome = OutcomeSucceeded
	}
	return end
}

// failing runs on_failure, once, when a run failed or was cancelled after its
// first effect.
func (r *run) failing(ctx context.Context, end *ending) *ending {
	if !r.began || (end.outcome != OutcomeFailed && end.outcome != OutcomeCancelled && end.outcome != OutcomeExpired) {
		return end
	}
	r.phase = PhaseOnFailure
	for _, st := range r.book.OnFailure {
		if r.e.isStopping() {
			break
		}
		if r.tried[st.Index] {
			continue
		}
		r.tried[st.Index] = true
		switch stop := r.step(ctx, st); {
		case stop == nil:
		case stop.left:
			return stop
		case stop.outcome == OutcomeEscalated || stop.outcome == OutcomeCancelled && stop.decision == nil && stop.reason.Code != "store":
			return end
		}
	}
	return end
}

// close records how the run ended. It does not return before that is durable:
// until then the targets stay locked.
func (r *run) close(ctx context.Context, end *ending) {
	if end.left || end.asking != nil {
		return
	}
	if r.sameAgain(end) {
		r.rec.drop()
		r.log.Debug("tried again, same answer", zap.String("reason", end.reason.Code))
		return
	}
	var recs []*audit.Record
	if d := end.decision; d != nil {
		ep, _ := r.e.ledger.Episode(r.joined()[0])
		recs = append(recs, r.e.decidedRecord(r.snap, r.book.Policy, ep, decision{Decision: *d, possible: r.targets}, r.id))
		r.e.metrics.Decided(r.book.Policy.Name, string(d.Verdict), string(d.Code))
	}
	took := r.e.now().Sub(r.created)
	rem, _ := r.e.ledger.Remediation(r.id)
	data := ledger.ClosedData{Episodes: r.joined(), Intents: len(rem.Intents), Shutdown: end.shutdown}
	if end.outcome == OutcomePlanned {
		data.Planned = r.plannedTargets()
	}
	if r.quarantines(end) {
		data.Quarantined = r.targets
		r.log.Error("targets are quarantined until an operator clears them", zap.Strings("targets", r.targets))
	}
	reason := end.reason
	reason.Text = r.snap.RedactText(reason.Text)
	recs = append(recs, r.record(&audit.Record{
		Type: audit.RemediationClosed, Outcome: end.outcome, Reason: &reason, Error: r.snap.RedactText(end.err),
		DurationMS: took.Milliseconds(), Targets: r.targets, Data: audit.JSON(data),
	}))
	if err := r.rec.speak(ctx, recs...); err != nil {
		r.log.Error("closing not recorded", zap.Error(err))
	}
	r.e.metrics.Closed(r.book.Policy.Name, end.outcome, took)
	r.log.Info("closed", zap.String("outcome", end.outcome), zap.String("reason", reason.Text), zap.String("error", r.snap.RedactText(end.err)), zap.Duration("took", took))
	r.e.boundary("closed")
}

// quarantines says whether what is left behind must not be touched by anything but
// a person (hold_on_failure): it failed half way.
func (r *run) quarantines(end *ending) bool {
	return r.book.Policy.HoldOnFailure && r.began &&
		slices.Contains([]string{OutcomeFailed, OutcomeInterrupted, OutcomeCancelled, OutcomeExpired}, end.outcome)
}

// plannedTargets are what a dry run would have changed; nothing, when it would only
// have told people.
func (r *run) plannedTargets() []string {
	var out []string
	for _, p := range r.plans {
		out = append(out, p.Targets...)
	}
	return unique(out)
}

// sameAgain says whether a quiet run came to the end recorded last, for all of its
// episodes.
func (r *run) sameAgain(end *ending) bool {
	if !r.rec.silent() || r.began {
		return false
	}
	for _, id := range r.joined()[1:] { // others had joined before as well
		ep, _ := r.e.ledger.Episode(id)
		if last := ep.Decided[r.book.Policy.Name]; last.Code != string(policy.CodeJoined) || last.Mode != string(r.mode) {
			return false
		}
	}
	if f := end.failure(r); f != "" { // Docker is still away, for instance
		return f == r.before
	}
	if end.decision == nil { // a dry run that would only have told people
		return end.outcome == OutcomePlanned && len(r.plannedTargets()) == 0
	}
	ep, ok := r.e.ledger.Episode(r.joined()[0])
	last := ep.Decided[r.book.Policy.Name]
	return ok && last.Code == string(end.decision.Code) && last.Mode == string(r.mode)
}

// record fills in what every record of the run carries.
func (r *run) record(rec *audit.Record) *audit.Record {
	rec.Remediation, rec.Mode = r.id, string(r.mode)
	rec.Episode = r.joined()[0]
	return r.e.stamp(rec, r.book.Policy, r.snap)
}
