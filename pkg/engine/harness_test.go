package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

// memory is a journal without a disk; fail, when set, decides each append's fate.
type memory struct {
	mu     sync.Mutex
	recs   []audit.Record
	ledger *ledger.Ledger
	tell   func([]*audit.Record)
	fail   func([]*audit.Record) error
}

func (m *memory) Append(ctx context.Context, recs ...*audit.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(recs); err != nil {
			return err
		}
	}
	for _, r := range recs {
		r.Seq = uint64(len(m.recs) + 1)
		r.Time = audit.Time{Time: time.Now().UTC()}
		m.recs = append(m.recs, *r)
	}
	m.ledger.Apply(recs)
	if m.tell != nil {
		m.tell(recs)
	}
	return nil
}

// failing sets what decides the fate of later appends.
func (m *memory) failing(fail func([]*audit.Record) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) Scan(_ context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	for _, r := range m.all() {
		if f.Remediation != "" && r.Remediation != f.Remediation {
			continue
		}
		if err := fn(audit.Stored{Record: &r}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) all() []audit.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]audit.Record(nil), m.recs...)
}

// fakeCheck answers as its function says.
type fakeCheck struct{ answer func() actions.Result }

func (fakeCheck) Needs() []string { return nil }
func (fakeCheck) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Exact: true}, nil
}
func (c fakeCheck) Check(context.Context, actions.Scope) actions.Result { return c.answer() }

// fakeAction changes one target and remembers it.
type fakeAction struct {
	w      *world
	target string
}

func (fakeAction) Needs() []string { return nil }
func (a fakeAction) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Names: []string{a.target}, Exact: true}, nil
}

func (a fakeAction) Plan(context.Context, actions.Scope) (actions.Plan, error) {
	if err := a.w.planErr.Load(); err != nil {
		return actions.Plan{}, *err
	}
	return actions.Plan{
		Uses: "docker.restart", Targets: []string{a.target}, Text: "restart " + a.target,
		Objects: []actions.Object{{Kind: "container", ID: "c-" + a.target + a.w.containers()}},
	}, nil
}

func (a fakeAction) Apply(_ context.Context, _ actions.Scope, _ actions.Plan, h actions.Hands) (actions.Result, error) {
	if _, err := actions.Hand[*world](h, "world"); err != nil {
		a.w.forbidden.Add(1)
		return actions.Result{}, err
	}
	a.w.mu.Lock()
	a.w.applied = append(a.w.applied, a.target)
	a.w.times = append(a.w.times, time.Now())
	if a.w.busy[a.target] {
		a.w.clashes++
	}
	a.w.busy[a.target] = true
	takes := a.w.takes
	a.w.mu.Unlock()
	pass(takes)
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.busy[a.target] = false
	if a.w.onApply != nil {
		return a.w.onApply(a.target)
	}
	if a.w.sky != nil {
		a.w.sky.set(a.target, services.Healthy, "")
	}
	return actions.Result{OK: true, Text: "restarted " + a.target}, nil
}

type fakeTell struct{}

func (fakeTell) Needs() []string { return nil }
func (fakeTell) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Exact: true}, nil
}

func (fakeTell) Tell(actions.Scope) (actions.Message, error) {
	return actions.Message{Text: "over to people", Ends: true}, nil
}

// world is what the fakes change and what Alertmanager would say.
type world struct {
	mu        sync.Mutex
	applied   []string
	times     []time.Time
	busy      map[string]bool
	clashes   int
	takes     time.Duration
	container string // part of the ids of containers: they were recreated
	onApply   func(string) (actions.Result, error)
	planErr   atomic.Pointer[error]
	symptom   atomic.Bool // confirm finds it
	unknown   atomic.Bool // confirm cannot tell
	healthy   atomic.Bool // verify finds it
	sky       *sky        // nil: nothing is known of services and upstreams
	forbidden atomic.Int32

	current map[string]CurrentAlert
	started time.Time
	amErr   error
}

func (w *world) Current(context.Context) (map[string]CurrentAlert, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]CurrentAlert{}
	maps.Copy(out, w.current)
	return out, w.started, w.amErr
}

// hold sets what Alertmanager says of an alert.
func (w *world) hold(fingerprint string, c CurrentAlert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current[fingerprint] = c
}

// drop makes Alertmanager forget an alert.
func (w *world) drop(fingerprint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.current, fingerprint)
}

func (w *world) containers() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.container
}

func (w *world) effects() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.applied...)
}

// bench is an engine with a fake world in a bubble of virtual time.
type bench struct {
	t       *testing.T
	w       *world
	journal *memory
	handle  *handle
	e       *Engine
	snap    *Snapshot
}

func matchers(in ...string) []labels.Matchers {
	var ms labels.Matchers
	for _, s := range in {
		m, err := parse.Matcher(s)
		if err != nil {
			panic(err)
		}
		ms = append(ms, m)
	}
	return []labels.Matchers{ms}
}

func (w *world) step(i int, phase string, kind string, target string) *Step {
	s := &Step{Index: i, Phase: phase, Kind: actions.Kind{Name: kind, Timeout: time.Minute}}
	switch kind {
	case "fake.restart", "docker.restart":
		s.Kind.Class, s.Kind.Recheckable, s.Run = actions.Changes, true, fakeAction{w, target}
	case "fake.symptom":
		s.Kind.Class, s.Run = actions.Reads, fakeCheck{func() actions.Result {
			return actions.Result{OK: w.symptom.Load() && !w.unknown.Load(), Unknown: w.unknown.Load(), Text: "symptom"}
		}}
	case "fake.healthy":
		s.Kind.Class, s.Run = actions.Reads, fakeCheck{func() actions.Result {
			return actions.Result{OK: w.healthy.Load(), Text: "health"}
		}}
	case "escalate":
		s.Kind.Class, s.Run = actions.Tells, fakeTell{}
	}
	return s
}

func defaults() policy.Settings {
	return policy.Settings{
		Cooldown: 10 * time.Minute, Settle: 15 * time.Minute, Attempts: 2, MaxAlertAge: 4 * time.Hour, Deadline: 15 * time.Minute,
		Limits: []policy.Limit{{Max: 3, Per: time.Hour}, {Max: 7, Per: 24 * time.Hour}},
	}
}

// book is a policy that restarts one target for alerts named name.
func (w *world) book(_ *testing.T, name, target string, mode policy.Mode) *Runbook {
	return w.runbook(name, target, mode)
}

func (w *world) runbook(name, target string, mode policy.Mode) *Runbook {
	p := &policy.Policy{
		Name: "restart-" + target, Severity: "P2", Mode: mode, On: policy.OnFiring, Settings: defaults(),
		Matchers: matchers(fmt.Sprintf("alertname=%q", name)), Escalate: []string{"oncall"},
	}
	return &Runbook{
		Policy: p, Confirm: []*Step{w.step(0, PhaseConfirm, "fake.symptom", "")},
		Steps:  []*Step{w.step(0, PhaseSteps, "fake.restart", target)},
		Verify: []*Step{w.step(0, PhaseVerify, "fake.healthy", "")},
	}
}

func snapshot(w *world, mode policy.Mode, books ...*Runbook) *Snapshot {
	s := &Snapshot{
		Hash: "test", Mode: mode, Runbooks: map[string]*Runbook{}, MaxConcurrent: 2, MaxUnhealthy: -1,
		GlobalLimits: []policy.Limit{{Max: 10, Per: time.Hour}},
		Redact:       func(r actions.Result) actions.Result { return r }, RedactText: func(s string) string { return s }, RedactPlan: func(p actions.Plan) actions.Plan { return p },
	}
	if mode == policy.Live {
		s.Hands = actions.NewHands(map[string]any{"world": w})
	}
	var ps []*policy.Policy
	for _, b := range books {
		s.Runbooks[b.Policy.Name] = b
		ps = append(ps, b.Policy)
	}
	s.Policies = policy.NewSet(ps)
	return s
}

func newWorld() *world {
	w := &world{busy: map[string]bool{}, takes: time.Second, current: map[string]CurrentAlert{}, started: time.Now().Add(-time.Hour)}
	w.symptom.Store(true)
	w.healthy.Store(true)
	return w
}

func start(t *testing.T, w *world, snap *Snapshot, journal *memory) *bench {
	if journal == nil {
		journal = &memory{ledger: ledger.New()}
	}
	b := &bench{t: t, w: w, snap: snap, journal: journal}
	b.handle = &handle{memory: journal}
	b.handle.fuse.Store(-1)
	b.e = New(Options{Journal: b.handle, Ledger: journal.ledger, Snapshot: snap, Logger: zap.NewNop()})
	journal.mu.Lock()
	journal.tell = b.e.Committed
	journal.mu.Unlock()
	require.NoError(t, b.e.Start(t.Context()))
	return b
}

func (b *bench) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	require.NoError(b.t, b.e.Stop(ctx))
}

func firing(name string, startsAt time.Time, more ...string) alert.Alert {
	a := alert.Alert{Status: alert.Firing, Labels: template.KV{"alertname": name}, StartsAt: startsAt}
	for i := 0; i+1 < len(more); i += 2 {
		a.Labels[more[i]] = more[i+1]
	}
	a.Fingerprint = alert.Fingerprint(a)
	return a
}

func resolved(a alert.Alert, at time.Time) alert.Alert {
	a.Status, a.EndsAt = alert.Resolved, at
	return a
}

func (b *bench) send(alerts ...alert.Alert) error {
	n, raw := payload(alerts...)
	return b.e.Accept(context.Background(), n, raw, "system", "test")
}

func payload(alerts ...alert.Alert) (*alert.Notification, json.RawMessage) {
	n := &alert.Notification{Data: &template.Data{Alerts: alerts}, Version: "4", GroupKey: "g"}
	return n, audit.JSON(n)
}

// types are the types of the records, with what matters of each.
func (b *bench) lines() []string {
	var out []string
	for _, r := range b.journal.all() {
		s := string(r.Type)
		switch r.Type {
		case audit.DaemonStarted, audit.ConfigLoaded, audit.NotificationReceived, audit.DaemonStopped:
			continue
		case audit.RemediationDecided:
			s += " " + r.Verdict + "/" + r.Reason.Code
		case audit.RemediationClosed:
			s += " " + r.Outcome
		case audit.RemediationEffect:
			s += " " + r.Effect
		}
		out = append(out, s)
	}
	return out
}

func (b *bench) count(line string) int {
	n := 0
	for _, l := range b.lines() {
		if l == line {
			n++
		}
	}
	return n
}

// after lets virtual time pass and everything settle.
func after(d time.Duration) {
	pass(d)
	synctest.Wait()
}

var errAway = errors.New("store is away")

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }
