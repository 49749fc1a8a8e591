package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// op is one random event; what its numbers mean is the event's business. All of a
// history is drawn before it is lived: rapid's draws do not belong into a bubble.
type op struct {
	kind string
	n    [4]int
}

// draw gives a number from 0 to most.
func (o op) draw(i, most int) int { return o.n[i] % (most + 1) }

// verdicts collects what is wrong, for require.
type verdicts struct{ text string }

type wrong struct{}

func (v *verdicts) Errorf(format string, args ...any) {
	if v.text == "" {
		v.text = fmt.Sprintf(format, args...)
	}
}

func (v *verdicts) FailNow() { panic(wrong{}) }

// handle is one daemon's way to the journal; it ends with the daemon, in the
// middle of an append if need be: the record may or may not be there afterwards.
type handle struct {
	*memory
	dead  atomic.Bool
	fuse  atomic.Int64 // appends left; negative: no end
	after bool         // the last append is durable, only nobody is told
}

func (h *handle) Append(ctx context.Context, recs ...*audit.Record) error {
	if h.dead.Load() {
		return audit.ErrClosed
	}
	if h.fuse.Load() >= 0 && h.fuse.Add(-1) < 0 {
		h.dead.Store(true)
		if h.after {
			_ = h.memory.Append(context.WithoutCancel(ctx), recs...)
		}
		return audit.ErrClosed
	}
	return h.memory.Append(ctx, recs...)
}

// history is a random life of the daemon.
type history struct {
	t       *verdicts
	op      op
	w       *world
	books   []*Runbook
	journal *memory
	h       *handle
	e       *Engine
	mode    policy.Mode
	paused  bool
	firing  map[string]alert.Alert
	begin   time.Time
	// forbidden are the spans in which no effect may begin.
	forbidden []span
}

type span struct {
	from, to time.Time
	why      string
}

func (h *history) snapshot() *Snapshot {
	s := snapshot(h.w, h.mode, h.books...)
	s.Alerts = h.w
	s.MaxConcurrent = 3
	s.World, s.Upstreams = h.w.sky, pageWatch{h.w.sky.watch}
	s.Self = &Self{Ask: func(context.Context) (string, bool, error) { return "me", true, nil }}
	s.Flap, s.Storm, s.MaxUnhealthy = flapRule, stormRule, maxUnhealthy
	s.Guardrails = []policy.Guardrail{{
		Name: "rides-out", Targets: []string{"indexer"}, Actions: []string{"docker.restart"},
		SuppressWhile: policy.SuppressWhile{Upstream: "stellar"},
	}}
	return s
}

func (h *history) boot(fuse int64, after bool) {
	led := ledger.New()
	for _, r := range h.journal.all() {
		led.Apply([]*audit.Record{&r})
	}
	h.journal.mu.Lock()
	h.journal.ledger = led
	h.journal.mu.Unlock()
	h.h = &handle{memory: h.journal, after: after}
	h.h.fuse.Store(-1)
	h.w.sky.watchFor(led, func(ctx context.Context, c upstream.Change) error { return h.e.UpstreamChanged(ctx, c) })
	h.e = New(Options{Journal: h.h, Ledger: led, Snapshot: h.snapshot(), Logger: zap.NewNop()})
	h.journal.mu.Lock()
	h.journal.tell = h.e.Committed
	h.journal.mu.Unlock()
	defer func() { h.w.sky.watch.Start(context.Background()) }()
	for h.e.Start(context.Background()) != nil {
		pass(time.Second) // the store is away
	}
	h.h.fuse.Store(fuse)
}

// end stops the daemon: gracefully, or as a crash whose journal is gone.
func (h *history) end(crash bool) {
	if crash {
		h.h.dead.Store(true)
	}
	h.w.sky.watch.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_ = h.e.Stop(ctx)
	synctest.Wait()
}

func (h *history) send(alerts ...alert.Alert) {
	n, raw := payload(alerts...)
	_ = h.e.Accept(context.Background(), n, raw, "system", "test")
}

func (h *history) forbid(why string) {
	h.forbidden = append(h.forbidden, span{from: time.Now(), why: why})
}

func (h *history) permit(why string) {
	for i := range h.forbidden {
		if h.forbidden[i].why == why && h.forbidden[i].to.IsZero() {
			h.forbidden[i].to = time.Now()
		}
	}
}

var names = []string{"Api", "Api2", "Web", "Both", "Db", "Indexer", "Ask", "Sup", "Me"}

var kinds = []string{
	"fire", "fire", "fire", "again", "resolve", "resolve", "time", "time", "time", "world", "world", "alertmanager", "pause", "mode", "crash", "stop", "fuse", "store",
	"service", "service", "page", "page", "answer", "answer", "run", "clear", "burst", "flap", "order", "old", "scoped", "incident", "repeat", "slow", "slow",
}

// step lives one event.
func (h *history) step(o op) {
	h.op = o
	switch o.kind {
	case "fire":
		a := firing(names[o.draw(0, len(names)-1)], time.Now().Add(-time.Duration(o.draw(1, 600))*time.Second), "n", fmt.Sprint(o.draw(2, 1)))
		h.firing[a.Fingerprint] = a
		h.w.mu.Lock()
		h.w.current[a.Fingerprint] = CurrentAlert{Alert: a, State: StateActive}
		h.w.mu.Unlock()
		h.send(a)
	case "again":
		h.send(h.some()...)
	case "resolve":
		for _, a := range h.some() {
			delete(h.firing, a.Fingerprint)
			h.w.mu.Lock()
			delete(h.w.current, a.Fingerprint)
			h.w.mu.Unlock()
			if o.draw(1, 1) == 0 {
				h.send(resolved(a, time.Now()))
			}
		}
	case "time":
		pass(time.Duration(1+o.draw(0, 1500)) * time.Second)
	case "world":
		h.w.symptom.Store(o.draw(0, 3) > 0)
		h.w.unknown.Store(o.draw(1, 5) == 0)
		h.w.healthy.Store(o.draw(2, 1) == 0)
		h.outcome(o.draw(3, 4))
	case "alertmanager":
		h.alertmanager()
	case "pause":
		h.togglePause()
	case "mode":
		h.switchMode()
	case "crash":
		h.end(true)
		h.boot(-1, false)
	case "stop":
		h.end(false)
		h.boot(-1, false)
	case "fuse": // dies in the middle of some later append
		h.h.after = o.draw(1, 1) == 0
		h.h.fuse.Store(int64(o.draw(0, 8)))
	case "store":
		h.storeAway(time.Duration(1+o.draw(0, 60)) * time.Second)
	default:
		h.more(o)
	}
	synctest.Wait()
	if h.h.dead.Load() {
		h.end(true)
		h.boot(-1, false)
		synctest.Wait()
	}
}

func (h *history) alertmanager() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.amErr = nil
	if h.op.draw(0, 3) == 0 {
		h.w.amErr = errAway
	}
	for i, fp := range sortedKeys(h.w.current) {
		c := h.w.current[fp]
		c.State = StateActive
		if h.op.draw(1, 255)>>(i%8)&1 == 1 {
			c.State = StateSuppressed
		}
		h.w.current[fp] = c
	}
}

func (h *history) storeAway(d time.Duration) {
	until := time.Now().Add(d)
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	h.journal.fail = func([]*audit.Record) error {
		if time.Now().Before(until) {
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, errAway)
		}
		return nil
	}
}

func (h *history) some() []alert.Alert {
	var out []alert.Alert
	for i, fp := range sortedKeys(h.firing) {
		if h.op.draw(3, 255)>>(i%8)&1 == 1 {
			out = append(out, h.firing[fp])
		}
	}
	return out
}

func (h *history) outcome(kind int) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	switch kind {
	case 0:
		h.w.onApply = func(string) (actions.Result, error) {
			return actions.Result{}, &actions.Error{Code: actions.CodeFailed, Err: errAway}
		}
	case 1:
		h.w.onApply = func(string) (actions.Result, error) { panic("boom") }
	default:
		h.w.onApply = nil
	}
}

func (h *history) togglePause() {
	var err error
	if h.paused {
		h.permit("paused")
		err = h.e.Resume(context.Background(), "user:ops", "global", "")
	} else {
		err = h.e.Pause(context.Background(), "user:ops", "global", "", time.Time{})
	}
	synctest.Wait()
	if _, now := h.journal.ledger.View(ledger.Live).Paused(time.Now(), "", nil); now != h.paused {
		h.paused = now
		if now {
			h.forbid("paused")
		}
	} else if h.paused && err != nil {
		h.forbid("paused")
	}
}

func (h *history) switchMode() {
	old := h.mode
	h.mode = map[policy.Mode]policy.Mode{policy.Live: policy.DryRun, policy.DryRun: policy.Live}[h.mode]
	if old == policy.DryRun {
		h.permit("dry run")
	}
	if err := h.e.Reload(context.Background(), h.snapshot(), "system"); err != nil {
		h.mode = old
	}
	if h.mode == policy.DryRun {
		h.forbid("dry run")
	}
}

var statHook func(*history)

// check holds the invariants of docs/safety.md against what happened.
func (h *history) check() {
	t := h.t
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if statHook != nil {
		statHook(h)
	}
	h.oracles()
	require.Zero(t, h.w.clashes, "two effects on one target at once")
	require.Zero(t, h.w.forbidden.Load(), "an effect was tried without hands")
	intents := map[string][]time.Time{}
	perTarget := map[string]int{}
	remediations := map[string][]time.Time{}
	started := map[string]bool{}
	open := map[string]bool{}
	members := map[string][]string{}
	attempts := map[string]int{}
	spared := map[string]bool{} // interrupted by a graceful stop: no attempt
	for _, r := range h.journal.all() {
		var d ledger.ClosedData
		if r.Type == audit.RemediationClosed && json.Unmarshal(r.Data, &d) == nil {
			spared[r.Remediation] = d.Shutdown
		}
	}
	for _, r := range h.journal.all() {
		switch r.Type {
		case audit.AlertFiring:
			open[r.Episode] = true
		case audit.AlertResolved:
			delete(open, r.Episode)
		case audit.RemediationDecided:
			if r.Remediation != "" && (r.Verdict == "execute" || r.Verdict == "await_approval" || r.Reason.Code == "joined") && !slices.Contains(members[r.Remediation], r.Episode) {
				members[r.Remediation] = append(members[r.Remediation], r.Episode)
			}
		case audit.StepStarted:
			key := fmt.Sprintf("%s %d", r.Remediation, *r.Step)
			perTarget[r.Target]++
			intents[r.Target] = append(intents[r.Target], r.Time.Time)
			if !started[r.Remediation] {
				require.True(t, r.Policy == onRecovery || slices.ContainsFunc(members[r.Remediation], func(e string) bool { return open[e] }), "first effect of %s on a resolved alert", r.Remediation)
				// Others may join one time more often; none causes a third attempt.
				require.Less(t, attempts[r.Policy+" "+r.Episode], 2, "attempts of %s on %s", r.Policy, r.Episode)
				for _, e := range members[r.Remediation] {
					if spared[r.Remediation] {
						break
					}
					attempts[r.Policy+" "+e]++
				}
				remediations[""] = append(remediations[""], r.Time.Time)
			}
			if !started[r.Remediation+" "+r.Target] {
				remediations[r.Target] = append(remediations[r.Target], r.Time.Time)
			}
			started[r.Remediation], started[r.Remediation+" "+r.Target] = true, true
			require.False(t, started[key], "%s was begun twice", key)
			started[key] = true
		default:
		}
	}
	applied := map[string]int{}
	for i, target := range h.w.applied {
		applied[target]++
		require.True(t, slices.ContainsFunc(intents[target], func(at time.Time) bool { return at.Equal(h.w.times[i]) }), "an effect on %s without a durable intent", target)
		for _, s := range h.forbidden {
			in := h.w.times[i].After(s.from) && (s.to.IsZero() || h.w.times[i].Before(s.to))
			require.False(t, in, "an effect on %s in %s", target, s.why)
		}
	}
	for target, n := range applied {
		require.LessOrEqual(t, n, perTarget[target], "more effects than intents on %s", target)
	}
	for target, times := range remediations {
		for _, l := range limitsOf(target) {
			require.LessOrEqual(t, densest(times, l.Per), l.Max, "limit of %q in %s", target, l.Per)
		}
	}
}

func limitsOf(target string) []policy.Limit {
	if target == "" {
		return []policy.Limit{{Max: 10, Per: time.Hour}}
	}
	return defaults().Limits
}

// densest is the largest number of times within any window.
func densest(times []time.Time, per time.Duration) int {
	best := 0
	for i := range times {
		n := 0
		for j := i; j < len(times) && times[j].Sub(times[i]) < per; j++ {
			n++
		}
		best = max(best, n)
	}
	return best
}

// settled lets everything come to rest in good weather and checks that each
// accepted episode has a verdict and nothing is left running.
func (h *history) settled() {
	h.w.mu.Lock()
	h.w.amErr, h.w.onApply = nil, nil
	h.w.mu.Unlock()
	h.w.sky.turnPage(upstream.Operational, true)
	h.h.fuse.Store(-1)
	if h.h.dead.Load() {
		h.end(true)
		h.boot(-1, false)
	}
	pass(2 * time.Minute)
	synctest.Wait()
	for _, ep := range h.journal.ledger.Episodes(false) {
		require.NotEmpty(h.t, ep.Decided, "episode %s of %s has no verdict", ep.ID, ep.Alert.Labels["alertname"])
	}
	for _, r := range h.journal.ledger.Remediations(func(r *ledger.Remediation) bool { return r.State == ledger.Running }) {
		under := slices.ContainsFunc(h.e.View().Active, func(a ActiveRun) bool { return a.ID == r.ID })
		require.True(h.t, under, "remediation %s is running for nobody", r.ID)
	}
	for _, ep := range h.journal.ledger.Episodes(true) {
		if ep.Origin == ledger.OriginRun {
			under := slices.ContainsFunc(h.e.View().Active, func(a ActiveRun) bool { return slices.Contains(a.Episodes, ep.ID) })
			require.True(h.t, under, "what a person started (%s) goes on for nobody", ep.ID)
		}
	}
}

// live lives a history in a bubble and gives what was wrong with it.
func live(ops []op) *verdicts {
	v := &verdicts{}
	w := newWorld()
	h := &history{t: v, w: w, journal: &memory{ledger: ledger.New()}, mode: policy.Live, firing: map[string]alert.Alert{}, begin: time.Now()}
	w.sky = newSky()
	h.books = books(w)
	h.boot(-1, false)
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(wrong{}) {
				panic(p)
			}
		}()
		for _, o := range ops {
			h.step(o)
		}
		h.settled()
	}()
	h.end(false)
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(wrong{}) {
				panic(p)
			}
		}()
		h.check()
	}()
	if v.text != "" {
		v.text += "\n" + h.story()
	}
	return v
}

// story is what the journal tells, for a failure's report.
func (h *history) story() string {
	var b strings.Builder
	for _, r := range h.journal.all() {
		if r.Type == audit.CheckFinished || r.Type == audit.NotificationReceived {
			continue
		}
		fmt.Fprintf(&b, "%s %s ep=%s rem=%s %s %s\n", r.Time.Format("02 15:04:05"), r.Human(), r.Episode, r.Remediation, r.Target, r.Data)
	}
	return b.String()
}

func drawOps(rt *rapid.T, least, most int) []op {
	n := rapid.IntRange(0, 1<<20)
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) op {
		return op{rapid.SampledFrom(kinds).Draw(rt, "kind"), [4]int{n.Draw(rt, "a"), n.Draw(rt, "b"), n.Draw(rt, "c"), n.Draw(rt, "d")}}
	}), least, most).Draw(rt, "ops")
}

func checkHistories(t *testing.T, least, most int) {
	rapid.Check(t, func(rt *rapid.T) {
		ops := drawOps(rt, least, most)
		var v *verdicts
		synctest.Test(t, func(*testing.T) { v = live(ops) })
		if v.text != "" {
			rt.Fatalf("%s", v.text)
		}
	})
}

// TestEngine_HistoriesKeepTheInvariants lives 2,000 short histories in a test run,
// fewer under the race detector, and 10,000 with REMEDIATOR_SOAK set.
func TestEngine_HistoriesKeepTheInvariants(t *testing.T) {
	rounds := 20
	switch {
	case os.Getenv("REMEDIATOR_SOAK") != "":
		rounds = 100
	case testing.Short():
		rounds = 3
	}
	for range rounds { // of rapid's 100
		checkHistories(t, 5, 60)
	}
}

// TestSoak_Histories lives long histories: one round of them in a test run, many
// more with REMEDIATOR_SOAK set.
func TestSoak_Histories(t *testing.T) {
	rounds := 1
	if os.Getenv("REMEDIATOR_SOAK") != "" {
		rounds = 200
	}
	for range rounds {
		checkHistories(t, 100, 200)
	}
}
