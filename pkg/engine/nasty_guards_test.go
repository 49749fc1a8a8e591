package engine

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func (b *bench) dump() string { return strings.Join(b.lines(), "\n") }

func (b *bench) escalations() []string {
	var out []string
	for _, r := range b.journal.all() {
		if r.Type == audit.EscalationSent && r.Reason.Code == codeEscalated {
			out = append(out, r.Reason.Text)
		}
	}
	return out
}

// dieAt makes the store refuse for ever from the first record of a type on.
func dieAt(j *memory, typ audit.Type) {
	dead := false
	j.failing(func(recs []*audit.Record) error {
		if dead || recs[len(recs)-1].Type == typ {
			dead = true
			return audit.ErrClosed
		}
		return nil
	})
}

// Rejected, crash before closed: asks again, and can be approved.
func TestGuards_RejectedIsAskedAgainAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Second)
		a := b.e.View().Active[0]
		require.NotNil(t, a.Asks)
		dieAt(b.journal, audit.RemediationClosed)
		_ = b.e.Reject(t.Context(), a.ID, "user:alice", "no!")
		after(time.Second)
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Second)
		require.Equal(t, 1, b.count("approval.rejected"))
		err := b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:bob", "")
		after(time.Minute)
		require.Empty(t, w.effects(), "rejected by alice; approve said %v\n%s", err, b.dump())
		require.Error(t, err)
	})
}

// the same after the first effect.
func TestGuards_RejectedStepIsAskedAgainAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := twoSteps(w)
		rb.Steps[1].Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NotNil(t, a.Asks)
		dieAt(b.journal, audit.RemediationClosed)
		_ = b.e.Reject(t.Context(), a.ID, "user:alice", "no!")
		after(time.Second)
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Second)
		require.Equal(t, 1, b.count("approval.rejected"))
		require.Equal(t, 1, b.count("approval.requested"), "asks again for what was rejected\n%s", b.dump())
	})
}

// on_failure asks for consent; restart; the steps behind the failed one are run.
func TestGuards_RestartDuringOnFailureConsentGoesOnWithSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db"), w.step(1, PhaseSteps, "fake.restart", "api")}
		of := w.step(0, PhaseOnFailure, "fake.restart", "web")
		of.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		rb.OnFailure = []*Step{of}
		w.onApply = func(target string) (actions.Result, error) {
			if target == "db" {
				return actions.Result{}, errors.New("db does not come up")
			}
			return actions.Result{OK: true}, nil
		}
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NotNil(t, b.e.View().Active[0].Asks, b.dump())
		require.Equal(t, []string{"db"}, w.effects())
		dieAt(b.journal, audit.RemediationClosed) // kill -9
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.Equal(t, []string{"db"}, w.effects(), "api was restarted though db, before it, had failed\n%s", b.dump())
		require.Zero(t, b.count("remediation.closed succeeded"), b.dump())
	})
}

// consent to a later step expires: nobody is told, and the first step is done again.
func TestGuards_ExpiredAfterFirstEffect(t *testing.T) {
	run := func(t *testing.T, check func(b *bench)) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			rb := twoSteps(w)
			rb.Steps[1].Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
			b := start(t, w, snapshot(w, policy.Live, rb), nil)
			defer b.stop()
			require.NoError(t, b.send(firing("Down", time.Now())))
			after(31 * time.Minute)
			require.Equal(t, 1, b.count("remediation.closed expired"), b.dump())
			check(b)
		})
	}
	t.Run("told", func(t *testing.T) {
		run(t, func(b *bench) {
			require.NotEmpty(t, b.escalations(), "left half done, and nobody is told\n%s", b.dump())
		})
	})
	t.Run("again", func(t *testing.T) {
		run(t, func(b *bench) {
			after(3 * time.Hour)
			require.Equal(t, []string{"api"}, b.w.effects(), "an expired one is never tried again in that episode\n%s", b.dump())
		})
	})
}

// held a second time: nobody is told.
func TestGuards_SecondHoldIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = append(rb.Steps, w.step(1, PhaseSteps, "fake.restart", "db"), w.step(2, PhaseSteps, "fake.restart", "web"))
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:db", "", time.Time{}))
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:web", "", time.Time{}))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.held"))
		require.Len(t, b.escalations(), 1)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "target:db", ""))
		require.NoError(t, b.e.Order(t.Context(), b.e.View().Active[0].ID, false, "user:a", ""))
		after(24 * time.Hour)
		require.Equal(t, 2, b.count("remediation.held"), b.dump())
		require.Len(t, b.escalations(), 2, "held for a day, its targets locked, and nobody was told\n%s", b.dump())
	})
}

// on_refused: wait, and the guard asks a person: no order ever satisfies it.
func TestGuards_WaitForAGuardThatAsksCanNeverBeConsented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "web", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "docker.restart", "web"), w.step(1, PhaseSteps, "docker.restart", "indexer")}
		rb.Steps[1].OnRefused = RefusedWait
		w.onApply = func(target string) (actions.Result, error) {
			if target == "web" {
				w.sky.set("indexer", services.Stopped, services.ByUnknown)
			}
			return actions.Result{OK: true}, nil
		}
		snap := snapshot(w, policy.Live, rb)
		snap.World = w.sky
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Hour)
		require.Equal(t, 1, b.count("remediation.held"), b.dump())
		for range 5 {
			id := b.e.View().Active[0].ID
			require.NoError(t, b.e.Order(t.Context(), id, false, "user:a", "go on"))
			after(time.Hour)
			if len(b.e.View().Active) == 0 {
				break
			}
		}
		require.Equal(t, []string{"web", "indexer"}, w.effects(), "resumed five times\n%s", b.dump())
	})
}

// a person's run waits for a slot, a reload comes: it starts hours later.
func TestGuards_RunStartsHoursLaterAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		manual := w.runbook("", "web", "")
		manual.Policy.Manual, manual.Policy.Matchers, manual.Policy.Name = true, nil, "manual"
		snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""), manual)
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(time.Second)
		out, err := b.e.Run(t.Context(), "manual", nil, "user:ops", "now please")
		require.NoError(t, err)
		require.NotEmpty(t, out.Remediation)
		require.NoError(t, b.e.Pause(t.Context(), "user:ops", "global", "", time.Time{}))
		require.NoError(t, b.e.Reload(t.Context(), snap, "user:ops"))
		after(time.Minute)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(5 * time.Hour)
		require.NotContains(t, w.effects(), "web")
		require.NoError(t, b.e.Resume(t.Context(), "user:ops", "global", ""))
		after(time.Minute)
		require.NotContains(t, w.effects(), "web", "what a person asked for five hours ago\n%s", b.dump())
	})
}

// a brake that lasts is told of in the name of an episode that was told of before.
func TestGuards_ALastingBrakeIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		ask := w.runbook("Ask", "ask", "")
		ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: time.Minute}
		snap := snapshot(w, policy.Live, ask, w.runbook("Down", "api", ""))
		snap.World, snap.MaxUnhealthy = w.sky, 0
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Ask", time.Now())))
		after(90 * time.Second) // expired, told
		require.Len(t, b.escalations(), 1, b.dump())
		w.sky.set("db", services.Unhealthy, "")
		b.e.WorldChanged()
		after(10 * time.Minute)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(12 * time.Hour)
		require.GreaterOrEqual(t, b.count("remediation.decided defer/blast_radius"), 2, b.dump())
		require.Len(t, b.escalations(), 2, "the brake has lasted for 12 hours\n%s", b.dump())
	})
}

// a guardrail about any target is not looked at anew right before the effect.
func TestGuards_GuardrailOfAnyTargetIsNotAskedAnew(t *testing.T) {
	for name, targets := range map[string][]string{"named": {"api"}, "any": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.sky = newSky()
				rb := w.runbook("Down", "api", "")
				snap := snapshot(w, policy.Live, rb)
				snap.Guardrails = []policy.Guardrail{{Name: "g", Targets: targets, Actions: []string{"fake.restart"}, SuppressWhile: policy.SuppressWhile{Upstream: "stellar"}}}
				j := &memory{ledger: ledger.New()}
				w.sky.watchFor(j.ledger, nil)
				snap.Upstreams = pageWatch{w.sky.watch}
				var e *Engine
				w.sky.watchFor(j.ledger, func(ctx context.Context, c upstream.Change) error { return e.UpstreamChanged(ctx, c) })
				snap.Upstreams = pageWatch{w.sky.watch}
				b := start(t, w, snap, j)
				e = b.e
				w.sky.watch.Start(t.Context())
				after(2*time.Minute + 10*time.Second)
				w.sky.turnPage(upstream.Incident, true)
				pass(6 * time.Second)
				require.NoError(t, b.send(firing("Down", time.Now())))
				after(time.Minute)
				eff := w.effects()
				w.sky.watch.Stop()
				b.stop()
				require.Empty(t, eff, b.dump())
			})
		})
	}
}

// an upstream is taken out and put back while its incident lasts: it never speaks again.
func TestGuards_UpstreamPutBackIsMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("UpstreamIncident", "up", "")
		with, without := snapshot(w, policy.Live, rb), snapshot(w, policy.Live, rb)
		j := &memory{ledger: ledger.New()}
		var e *Engine
		tell := func(ctx context.Context, c upstream.Change) error { return e.UpstreamChanged(ctx, c) }
		w.sky.watchFor(j.ledger, tell)
		with.Upstreams = pageWatch{w.sky.watch}
		require.NoError(t, (&memory{ledger: ledger.New()}).Append(t.Context()))
		b := start(t, w, with, j)
		e = b.e
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		w.sky.watch.Start(t.Context())
		w.sky.turnPage(upstream.Incident, true)
		after(2 * time.Minute)
		require.Equal(t, 1, b.count("alert.firing"), b.dump())
		w.sky.watch.Stop()
		require.NoError(t, b.e.Reload(t.Context(), without, "user:a"))
		after(time.Minute)
		require.Equal(t, 1, b.count("alert.resolved"), b.dump())
		w.sky.watchFor(j.ledger, tell)
		again := snapshot(w, policy.Live, rb)
		again.Upstreams = pageWatch{w.sky.watch}
		w.sky.watch.Start(t.Context())
		require.NoError(t, b.e.Reload(t.Context(), again, "user:a"))
		after(time.Hour)
		fired := b.count("alert.firing")
		w.sky.watch.Stop()
		b.stop()
		require.Equal(t, 2, fired, "the incident lasts, and its alert is gone\n%s", b.dump())
	})
}

// a resolution that was durable before the intent is not heard.
func TestGuards_ADurableResolutionIsNotHeard(t *testing.T) {
	acted := 0
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""))
			j := &memory{ledger: ledger.New()}
			b := &bench{t: t, w: w, snap: snap, journal: j, handle: &handle{memory: j}}
			b.handle.fuse.Store(-1)
			a := firing("Down", time.Now())
			once := false
			b.e = New(Options{Journal: b.handle, Ledger: j.ledger, Snapshot: snap, Logger: zap.NewNop(), Boundary: func(name string) {
				if name != "guarded" || once {
					return
				}
				once = true
				// The loop is busy with something else; a resolution is accepted meanwhile.
				go func() { _ = b.e.do(context.Background(), func() { pass(10 * time.Second) }) }()
				pass(time.Second)
				if err := b.send(resolved(a, time.Now())); err != nil {
					panic(err)
				}
				pass(time.Second)
			}})
			j.tell = b.e.Committed
			require.NoError(t, b.e.Start(t.Context()))
			require.NoError(t, b.send(a))
			after(2 * time.Minute)
			if len(w.effects()) > 0 {
				acted++
			}
			b.stop()
		})
	}
	require.Zero(t, acted, "of 20: acted on an alert whose resolution had been accepted 9 seconds before the intent")
}

// all steps are optional; what one of them waits for lifts, and nobody looks.
func TestGuards_OptionalStepsWaitForTheFirstRefusalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := twoSteps(w)
		rb.Steps[0].OnRefused, rb.Steps[1].OnRefused = RefusedSkip, RefusedSkip
		other := w.runbook("Db", "db", "")
		other.Policy.Settings.Cooldown = 0
		b := start(t, w, snapshot(w, policy.Live, rb, other), nil)
		defer b.stop()
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:api", "", time.Time{}))
		d := firing("Db", time.Now())
		require.NoError(t, b.send(d))
		after(10 * time.Second)
		require.NoError(t, b.send(resolved(d, time.Now())))
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(2 * time.Hour) // the cooldown of db is over after ten minutes
		require.Greater(t, len(w.effects()), 1, "db may be restarted for hours\n%s", b.dump())
	})
}

// consent to a step is taken for another one of the same index.
func TestGuards_ConsentToAStepCoversOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		w.healthy.Store(false) // verify fails
		rb.Steps[0].Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		of := w.step(0, PhaseOnFailure, "fake.restart", "api")
		of.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		rb.OnFailure = []*Step{of}
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Minute)
		require.Len(t, w.effects(), 1, "one consent, two effects\n%s", b.dump())
	})
}

// a brake that lifted long ago is told of as lasting.
func TestGuards_ABrakeThatLiftedIsToldAsLasting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""), w.runbook("Web", "web", ""))
		snap.World, snap.MaxUnhealthy = w.sky, 0
		b := start(t, w, snap, nil)
		defer b.stop()
		w.sky.set("db", services.Unhealthy, "")
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(30 * time.Second)
		w.sky.set("db", services.Healthy, "")
		b.e.WorldChanged()
		after(9*time.Minute + 20*time.Second)
		require.Equal(t, []string{"api"}, w.effects())
		w.sky.set("db", services.Unhealthy, "")
		require.NoError(t, b.send(firing("Web", time.Now())))
		after(20 * time.Second)
		require.Empty(t, b.escalations(), "it has lasted for 20 seconds\n%s", b.dump())
	})
}

// consent that was given is lost by a graceful stop.
func TestGuards_ConsentIsLostByAGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		ask := w.runbook("Ask", "ask", "")
		ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, ask, w.runbook("Down", "api", ""))
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Ask", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.send(firing("Down", time.Now()))) // takes the only slot
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Second)
		b.stop()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(5 * time.Minute)
		require.Equal(t, []string{"api", "ask"}, w.effects(), "approved, and asked for again\n%s", b.dump())
	})
}

// a rehearsal stands in the way of live work.
func TestGuards_ARehearsalBlocksLiveWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		dry := w.runbook("Db", "db", policy.DryRun)
		dry.Confirm[0].Within = 14 * time.Minute
		w.symptom.Store(false)
		live := w.runbook("Down", "web", "")
		live.Confirm = nil
		live.Policy.Severity = "P1"
		snap := snapshot(w, policy.Live, dry, live)
		snap.World, snap.MaxUnhealthy = w.sky, 0
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Db", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Minute)
		require.Equal(t, []string{"web"}, w.effects(), "a P1 waits for a dry run\n%s", b.dump())
	})
}

// cancelled by a person after the first effect, and begun anew by itself.
func TestGuards_CancelledIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, twoSteps(w)), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:db", "", time.Time{}))
		after(time.Minute)
		require.NoError(t, b.e.Order(t.Context(), b.e.View().Active[0].ID, true, "user:a", "I do it by hand"))
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "target:db", ""))
		after(time.Hour)
		require.Equal(t, []string{"api"}, w.effects(), "a person took over\n%s", b.dump())
	})
}

// allowing is the page's watch under `unknown: allow`.
type allowing struct{ pageWatch }

func (a allowing) Upstreams() map[string]policy.Upstream {
	out := a.pageWatch.Upstreams()
	u := out["stellar"]
	u.UnknownAllows = true
	return map[string]policy.Upstream{"stellar": u}
}

// the page goes away within resume_after, and `unknown: allow` cuts it short.
func TestGuards_ResumeAfterIsCutShortByAnUnknownPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "api", "")
		rb.Policy.Settings.SuppressWhile.Upstream = "stellar"
		snap := snapshot(w, policy.Live, rb)
		j := &memory{ledger: ledger.New()}
		var e *Engine
		w.sky.watchFor(j.ledger, func(ctx context.Context, c upstream.Change) error { return e.UpstreamChanged(ctx, c) })
		snap.Upstreams = allowing{pageWatch{w.sky.watch}}
		b := start(t, w, snap, j)
		e = b.e
		w.sky.watch.Start(t.Context())
		w.sky.turnPage(upstream.Incident, true)
		after(2 * time.Minute)
		require.NoError(t, b.send(firing("Down", time.Now())))
		w.sky.turnPage(upstream.Operational, true)
		after(90 * time.Second) // over; resume_after is 10m
		over := time.Now()
		w.sky.turnPage(upstream.Operational, false)
		after(6 * time.Minute)
		require.WithinDuration(t, over, time.Now(), 9*time.Minute)
		eff := w.effects()
		w.sky.watch.Stop()
		b.stop()
		require.Empty(t, eff, "within resume_after\n%s", b.dump())
	})
}

// a quarantine in an episode that was told of before.
func TestGuards_QuarantineIsSilentOnceTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.healthy.Store(false)
		rb := w.runbook("Down", "api", "")
		rb.Policy.HoldOnFailure = true
		rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 2 * time.Minute}
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(3 * time.Minute) // expires: told
		require.Len(t, b.escalations(), 1, b.dump())
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(time.Minute)
		rb2 := w.runbook("Down", "api", "")
		rb2.Policy.HoldOnFailure = true
		require.NoError(t, b.e.Reload(t.Context(), snapshot(w, policy.Live, rb2), "user:a"))
		require.NoError(t, b.send(firing("Down", time.Now()))) // flaps: inherits what was told
		after(time.Hour)
		require.Len(t, b.journal.ledger.Quarantines(), 1, b.dump())
		require.Len(t, b.escalations(), 2, "in quarantine, and nobody was told\n%s", b.dump())
	})
}

// a reload that changes nothing loses no consent.
func TestGuards_ReloadLosesConsentThatWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		ask := w.runbook("Ask", "ask", "")
		ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, ask, w.runbook("Down", "api", ""))
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Ask", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Second)
		require.NoError(t, b.e.Reload(t.Context(), snap, "user:a")) // nothing has changed
		after(5 * time.Minute)
		require.Equal(t, []string{"api", "ask"}, w.effects(), "approved, and asked for again\n%s", b.dump())
	})
}

// a first-effect crash in on_failure while held: resume goes on with steps behind the failed one.
func TestGuards_CrashWhileHeldInOnFailureGoesOnWithSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db"), w.step(1, PhaseSteps, "fake.restart", "api")}
		rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "web")}
		w.onApply = func(target string) (actions.Result, error) {
			if target == "db" {
				return actions.Result{}, errors.New("db does not come up")
			}
			return actions.Result{OK: true}, nil
		}
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		n := 0
		b.journal.failing(func(recs []*audit.Record) error {
			if recs[len(recs)-1].Type == audit.StepStarted {
				if n++; n > 1 && n < 60 {
					return errAway
				}
			}
			return nil
		})
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.held"), b.dump())
		b.journal.failing(nil)
		dieAt(b.journal, audit.RemediationClosed)
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Second)
		require.NoError(t, b.e.Order(t.Context(), b.e.View().Active[0].ID, false, "user:a", ""))
		after(time.Minute)
		require.NotContains(t, w.effects(), "api", "db, before it, had failed\n%s", b.dump())
	})
}

// run with a label that another policy's suppress_while matches.
func TestGuards_ARunsLabelsSuppressOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		db := w.runbook("Db", "db", "")
		db.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 24 * time.Hour}
		api := w.runbook("Down", "api", "")
		api.Policy.Settings.SuppressWhile.Alert = matchers(`alertname="Db"`)[0]
		b := start(t, w, snapshot(w, policy.Live, db, api), nil)
		defer b.stop()
		_, err := b.e.Run(t.Context(), db.Policy.Name, map[string]string{"alertname": "Db"}, "user:a", "drill")
		require.NoError(t, err)
		after(time.Second)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Hour)
		require.Contains(t, w.effects(), "api", "no alert Db fires: a person typed it\n%s", b.dump())
	})
}

// blind is a world that cannot be looked at any more: all is Unknown, as
// actions/docker gives it when its look takes longer than five seconds.
type blind struct{ *sky }

func (b blind) World() services.World {
	var list []services.Service
	for _, n := range serviceNames {
		list = append(list, services.Service{Target: n, Name: n, Declared: true, State: services.Unknown, DependsOn: dependencies[n], Text: "cannot be looked at"})
	}
	return services.NewWorld(time.Now(), list...)
}
func (b blind) Refresh(context.Context) (services.World, error) { return b.World(), errAway }

// a person stopped it, that is recorded; the engine's listing hangs; it is started.
func TestGuards_APersonsStopIsOverruledWhenTheWorldIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "indexer", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "indexer")
		seeing, blinded := snapshot(w, policy.Live, rb), snapshot(w, policy.Live, rb)
		seeing.World, blinded.World = w.sky, blind{w.sky}
		world := &switched{now: w.sky}
		seeing.World = world
		b := start(t, w, seeing, nil)
		defer b.stop()
		w.sky.set("indexer", services.Stopped, services.ByKill)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Minute)
		require.Equal(t, 1, b.count("remediation.decided suppress/stopped_by_person"), b.dump())
		require.Empty(t, w.effects())
		world.now = blind{w.sky}
		b.e.WorldChanged()
		after(10 * time.Minute)
		require.Empty(t, w.effects(), "a known person's stop is never overruled\n%s", b.dump())
	})
}

// switched is a world that may change its source.
type switched struct{ now WorldSource }

func (s *switched) World() services.World                             { return s.now.World() }
func (s *switched) Refresh(c context.Context) (services.World, error) { return s.now.Refresh(c) }

// the same for what depends on something that is down.
func TestGuards_ADownDependencyIsForgottenWhenTheWorldIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "indexer", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "indexer")
		seeing := snapshot(w, policy.Live, rb)
		world := &switched{now: w.sky}
		seeing.World, seeing.MaxUnhealthy = world, 1
		b := start(t, w, seeing, nil)
		defer b.stop()
		for _, n := range []string{"db", "web", "me"} {
			w.sky.set(n, services.Unhealthy, "")
		}
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Minute)
		require.Equal(t, 1, b.count("remediation.decided suppress/dependency"), b.dump())
		world.now = blind{w.sky}
		b.e.WorldChanged()
		after(10 * time.Minute)
		require.Empty(t, w.effects(), "three services were down, the database among them, when last seen\n%s", b.dump())
	})
}

// an impact that changes while consent is asked for.
func TestGuards_AnotherImpactTakesTheRequestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("UpstreamIncident", "up", "")
		rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		now := time.Now()
		require.NoError(t, b.e.UpstreamChanged(t.Context(), upstream.Change{Upstream: "stellar", State: upstream.Incident, Impact: "minor", Since: now}))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.e.UpstreamChanged(t.Context(), upstream.Change{Upstream: "stellar", State: upstream.Incident, Before: upstream.Incident, Impact: "major", Since: now}))
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""), "the incident lasts\n%s", b.dump())
	})
}

// the clock is set back: what waits for a time waits that much longer.
func TestGuards_AClockSetBackDelaysWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.healthy.Store(false)
		snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""))
		j := &memory{ledger: ledger.New()}
		var back atomic.Int64
		e := New(Options{Journal: j, Ledger: j.ledger, Snapshot: snap, Logger: zap.NewNop(), Now: func() time.Time {
			return time.Now().Add(-time.Duration(back.Load()))
		}})
		j.tell = e.Committed
		b := &bench{t: t, w: w, snap: snap, journal: j, e: e}
		require.NoError(t, e.Start(t.Context()))
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.decided defer/cooldown"), b.dump())
		back.Store(int64(5 * time.Hour))
		after(2 * time.Hour)
		require.Len(t, w.effects(), 2, "cooldown is ten minutes\n%s", b.dump())
	})
}

// held for a guard that time lifts, resumed too early: silent for ever.
func TestGuards_ResumedTooEarlyIsHeldInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := twoSteps(w)
		db := w.runbook("Db", "db", "")
		b := start(t, w, snapshot(w, policy.Live, rb, db), nil)
		defer b.stop()
		w.onApply = func(target string) (actions.Result, error) {
			if target == "api" { // somebody else is quarantined, paused, cools down...
				require.NoError(t, b.e.Pause(context.Background(), "user:a", "target:db", "", time.Now().Add(10*time.Minute)))
			}
			return actions.Result{OK: true}, nil
		}
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		id := b.e.View().Active[0].ID
		require.NoError(t, b.e.Order(t.Context(), id, false, "user:a", "")) // answered: fine, it goes on
		after(24 * time.Hour)
		require.Equal(t, 2, b.count("remediation.held"), b.dump())
		require.Len(t, b.escalations(), 2, "held anew at once, and for a day\n%s", b.dump())
	})
}
