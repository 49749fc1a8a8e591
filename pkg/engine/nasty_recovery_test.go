package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func dbFails(target string) (actions.Result, error) {
	if target == "db" {
		return actions.Result{}, errors.New("db does not come up")
	}
	return actions.Result{OK: true}, nil
}

func (b *bench) crash() {
	dieAt(b.journal, audit.RemediationClosed)
	b.journal.failing(func([]*audit.Record) error { return audit.ErrClosed })
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_ = b.e.Stop(ctx)
}

// on_failure: [web done, cache asks]; crash; the steps behind the failed one run.
func TestRecovery_OnFailureWithAnIntentAsksAndCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db"), w.step(1, PhaseSteps, "fake.restart", "api")}
		ask := w.step(1, PhaseOnFailure, "fake.restart", "cache")
		ask.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "web"), ask}
		w.onApply = dbFails
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Second)
		require.NotNil(t, b.e.View().Active[0].Asks, b.dump())
		require.Equal(t, []string{"db", "web"}, w.effects())
		b.crash()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.NotContains(t, w.effects(), "api", "%v\n%s", w.effects(), b.dump())
		require.Equal(t, []string{"db", "web"}, w.effects(), b.dump())
	})
}

// a step's consent is refused, on_failure begins, crash in the middle of its effect: it is repeated.
func TestRecovery_RejectedThenCrashInOnFailureRepeatsTheEffect(t *testing.T) {
	for _, how := range []string{"rejected", "expired"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				rb := twoSteps(w)
				rb.Steps[1].Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
				rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "web")}
				snap := snapshot(w, policy.Live, rb)
				b := start(t, w, snap, nil)
				require.NoError(t, b.send(firing("Down", time.Now())))
				after(5 * time.Second)
				a := b.e.View().Active[0]
				require.NotNil(t, a.Asks)
				if how == "rejected" {
					require.NoError(t, b.e.Reject(t.Context(), a.ID, "user:alice", "no!"))
					after(500 * time.Millisecond) // in the middle of web's restart
				} else {
					after(30*time.Minute - 5*time.Second + 1500*time.Millisecond)
				}
				require.Equal(t, []string{"api", "web"}, w.effects(), b.dump())
				b.crash()
				b = start(t, w, snap, relive(b.journal))
				defer b.stop()
				after(time.Hour)
				require.Equal(t, []string{"api", "web"}, w.effects(), "an intent without a result is run again\n%s", b.dump())
			})
		})
	}
}

// held in on_failure behind an effect of it; crash; resume or cancel repeats that effect.
func TestRecovery_HeldInOnFailureRepeatsIt(t *testing.T) {
	for name, cancel := range map[string]bool{"resume": false, "cancel": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				rb := w.runbook("Down", "api", "")
				rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db")}
				rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "web"), w.step(1, PhaseOnFailure, "fake.restart", "cache")}
				w.onApply = dbFails
				snap := snapshot(w, policy.Live, rb)
				b := start(t, w, snap, nil)
				n := 0
				b.journal.failing(func(recs []*audit.Record) error {
					if recs[len(recs)-1].Type == audit.StepStarted {
						if n++; n > 2 && n < 60 {
							return errAway
						}
					}
					return nil
				})
				require.NoError(t, b.send(firing("Down", time.Now())))
				after(time.Minute)
				require.Equal(t, 1, b.count("remediation.held"), b.dump())
				require.Equal(t, []string{"db", "web"}, w.effects(), b.dump())
				b.crash()
				b = start(t, w, snap, relive(b.journal))
				defer b.stop()
				after(time.Second)
				require.NoError(t, b.e.Order(t.Context(), b.e.View().Active[0].ID, cancel, "user:a", ""))
				after(time.Minute)
				n = 0
				for _, e := range w.effects() {
					if e == "web" {
						n++
					}
				}
				if n != 1 {
					t.Errorf("cancel=%v: web is done %d times: %v", cancel, n, w.effects())
				}
			})
		})
	}
}

// the result was lost in a first crash; a second crash while verifying makes a failure of it.
func TestRecovery_ASecondCrashTurnsALostResultIntoAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "web")}
		slow := rb.Verify[0]
		slow.Within = 2 * time.Minute
		w.healthy.Store(false)
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(500 * time.Millisecond)
		require.Equal(t, []string{"api"}, w.effects())
		b.crash() // in the middle of the effect
		b = start(t, w, snap, relive(b.journal))
		after(20 * time.Second) // verify waits for it to come up
		b.crash()
		w.healthy.Store(true)
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(3 * time.Minute)
		require.Equal(t, []string{"api"}, w.effects(), "it is well, and on_failure ran\n%s", b.dump())
		require.Equal(t, 1, b.count("remediation.closed succeeded"), b.dump())
	})
}

// the request expired; crash before people are told.
func TestRecovery_ExpiredAndCrashTellsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Second)
		dieAt(b.journal, audit.EscalationSent)
		after(31 * time.Minute)
		_ = b.e.Stop(context.Background())
		require.Equal(t, 1, b.count("approval.expired"), b.dump())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(3 * time.Hour)
		require.Len(t, b.escalations(), 1, "nobody consented, and nobody is told\n%s", b.dump())
	})
}

// two persons resume one hold; the second order is taken for the next hold, as consent.
func TestRecovery_ASecondResumeConsentsToTheNextHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "web", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "docker.restart", "web"), w.step(1, PhaseSteps, "docker.restart", "indexer")}
		w.onApply = func(string) (actions.Result, error) { return actions.Result{OK: true}, nil }
		snap := snapshot(w, policy.Live, rb)
		snap.World = w.sky
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:indexer", "", time.Time{}))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.held"), b.dump())
		w.sky.set("indexer", services.Stopped, services.ByUnknown) // meanwhile, and nobody knows why
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "target:indexer", ""))
		id := b.e.View().Active[0].ID
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, who := range []string{"user:alice", "user:bob"} {
			wg.Go(func() { errs[i] = b.e.Order(context.Background(), id, false, who, "the pause is over") })
		}
		wg.Wait()
		after(time.Minute)
		require.Equal(t, []string{"web"}, w.effects(), "nobody was asked about indexer's stop; %v\n%s", errs, b.dump())
	})
}

// a graceful stop while on_failure asks for consent: the request is lost.
func TestRecovery_GracefulStopLosesAnOnFailureRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db")}
		of := w.step(0, PhaseOnFailure, "fake.restart", "web")
		of.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		rb.OnFailure = []*Step{of}
		w.onApply = dbFails
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NotNil(t, a.Asks, b.dump())
		b.stop()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""), b.dump())
	})
}

// a person refuses a step of on_failure; the steps behind it run.
func TestRecovery_CancelInOnFailureGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "db")}
		of := w.step(0, PhaseOnFailure, "fake.restart", "web")
		of.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		rb.OnFailure = []*Step{of, w.step(1, PhaseOnFailure, "fake.restart", "cache")}
		w.onApply = dbFails
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.e.Order(t.Context(), a.ID, true, "user:a", "hands off"))
		after(time.Minute)
		require.Equal(t, []string{"db"}, w.effects(), "cancelled by a person\n%s", b.dump())
	})
}

// the clock is set back: what may go on at once waits up to a minute.
func TestRecovery_ClockSetBackQueuesWithoutStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		snap := snapshot(w, policy.Live, rb)
		j := &memory{ledger: ledger.New()}
		var back atomic.Int64
		e := New(Options{Journal: j, Ledger: j.ledger, Snapshot: snap, Logger: zap.NewNop(), Now: func() time.Time {
			return time.Now().Add(-time.Duration(back.Load()))
		}})
		j.tell = e.Committed
		b := &bench{t: t, w: w, snap: snap, journal: j, e: e}
		require.NoError(t, e.Start(t.Context()))
		defer b.stop()
		w.symptom.Store(false)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		w.symptom.Store(true)
		e.WorldChanged() // the loop looks at the clock
		after(10 * time.Millisecond)
		back.Store(int64(time.Hour))
		e.WorldChanged()
		t0 := time.Now()
		after(90 * time.Second)
		w.mu.Lock()
		t.Log("effect after", w.times[0].Sub(t0))
		require.Less(t, w.times[0].Sub(t0), 10*time.Second)
		w.mu.Unlock()
		require.Len(t, w.effects(), 1, b.dump())
	})
}

// a person stopped and started it weeks ago; now it crashes and hangs while starting.
func TestRecovery_AnOldStopKeepsAStartingServiceFromHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "indexer", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "indexer")
		snap := snapshot(w, policy.Live, rb)
		snap.World = w.sky
		b := start(t, w, snap, nil)
		defer b.stop()
		w.sky.set("indexer", services.Stopped, services.ByKill)
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.decided suppress/stopped_by_person"), b.dump())
		w.sky.set("indexer", services.Healthy, "") // started by hand
		b.e.WorldChanged()
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(5 * 24 * time.Hour) // it is well for days
		require.Empty(t, w.effects())
		w.sky.set("indexer", services.Starting, "") // crashed, restarted by Docker, and hangs
		w.sky.mu.Lock()
		s := w.sky.services["indexer"]
		s.Since = time.Now()
		w.sky.services["indexer"] = s
		w.sky.mu.Unlock()
		b.e.WorldChanged()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(3 * time.Hour)
		require.NotEmpty(t, w.effects(), "a stop of five days ago\n%s", b.dump())
	})
}

// a person stops it while the intent is being written: seen by the second look, and taken for ours.
func TestRecovery_APersonsStopDuringTheIntentPassesForOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.runbook("Down", "indexer", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "indexer")
		snap := snapshot(w, policy.Live, rb)
		snap.World = w.sky
		b := start(t, w, snap, nil)
		defer b.stop()
		b.journal.mu.Lock()
		tell := b.journal.tell
		once := false
		b.journal.tell = func(recs []*audit.Record) {
			tell(recs)
			if recs[len(recs)-1].Type == audit.StepStarted && !once {
				once = true
				pass(2 * time.Second) // the store is slow to answer
				w.sky.set("indexer", services.Stopped, services.ByKill)
				pass(2 * time.Second)
			}
		}
		b.journal.mu.Unlock()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(30 * time.Second)
		require.Empty(t, w.effects(), "a person stopped it two seconds before\n%s", b.dump())
	})
}

// consent to the plan, then to a step; stop; the first one is asked for again.
func TestRecovery_TwoConsentsOneSurvivesAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		ask := w.runbook("Ask", "ask", "")
		ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		ask.Steps[0].Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		snap := snapshot(w, policy.Live, ask, w.runbook("Down", "api", ""))
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Ask", time.Now())))
		after(5 * time.Second)
		a := b.e.View().Active[0]
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Second)
		a = b.e.View().Active[0]
		require.NotNil(t, a.Asks)
		require.NotNil(t, a.Asks.Step)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Second)
		b.stop()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(5 * time.Minute)
		require.Equal(t, []string{"api", "ask"}, w.effects(), "approved twice, and asked for again\n%s", b.dump())
	})
}

// consent, a graceful stop, and a policy that minds an upstream: the page has not been read yet when the queue starts.
func TestRecovery_ConsentIsLostWhileThePageIsNotReadYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		w.sky = newSky()
		ask := w.runbook("Ask", "ask", "")
		ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		ask.Policy.Settings.SuppressWhile.Upstream = "stellar"
		snap := snapshot(w, policy.Live, ask, w.runbook("Down", "api", ""))
		snap.MaxConcurrent = 1
		j := &memory{ledger: ledger.New()}
		var e *Engine
		tell := func(ctx context.Context, c upstream.Change) error { return e.UpstreamChanged(ctx, c) }
		w.sky.watchFor(j.ledger, tell)
		snap.Upstreams = pageWatch{w.sky.watch}
		b := start(t, w, snap, j)
		e = b.e
		w.sky.watch.Start(t.Context())
		after(2 * time.Minute)
		require.NoError(t, b.send(firing("Ask", time.Now())))
		after(5 * time.Second)
		require.NotEmpty(t, b.e.View().Active, b.dump())
		a := b.e.View().Active[0]
		require.NotNil(t, a.Asks, b.dump())
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		after(5 * time.Second)
		w.sky.watch.Stop()
		b.stop()
		j = relive(b.journal)
		w.sky.watchFor(j.ledger, tell)
		snap.Upstreams = pageWatch{w.sky.watch}
		b = start(t, w, snap, j) // as pkg/app does: the engine first, then the watch
		e = b.e
		pass(200 * time.Millisecond) // the page takes its time
		w.sky.watch.Start(t.Context())
		after(5 * time.Minute)
		eff, d := w.effects(), b.dump()
		w.sky.watch.Stop()
		b.stop()
		require.Equal(t, []string{"api", "ask"}, eff, "approved, and asked for again\n%s", d)
	})
}

// A second resume of a held run, given a moment later.
func TestRecovery_ALateResumeOfAHoldThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps = append(rb.Steps, w.step(1, PhaseSteps, "fake.restart", "db"), w.step(2, PhaseSteps, "fake.restart", "web"))
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "target:db", "", time.Time{}))
		after(time.Minute)
		id := b.e.View().Active[0].ID
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, cancel := range []bool{false, true} {
			wg.Go(func() {
				pass(time.Duration(i) * time.Millisecond)
				errs[i] = b.e.Order(context.Background(), id, cancel, "user:a", "")
			})
		}
		wg.Wait()
		after(time.Minute)
		t.Log(errs, w.effects())
	})
}

// many cases of one storm, a queued P1 among them, and a crash before the batch is durable.
func TestRecovery_CrashBeforeTheBatchIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		snap := snapshot(w, policy.Live, rb)
		b := start(t, w, snap, nil)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		n := 0
		b.journal.failing(func(recs []*audit.Record) error {
			if recs[0].Type == audit.RemediationDecided {
				n = 1
			}
			if n > 0 {
				return audit.ErrClosed
			}
			return nil
		})
		var list []alert.Alert
		for i := range 50 {
			list = append(list, firing("Down", time.Now(), "i", string(rune('A'+i))))
		}
		require.NoError(t, b.send(list...))
		after(time.Second)
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.Equal(t, 50, b.count("remediation.decided suppress/paused"), b.dump())
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "global", ""))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects(), b.dump())
	})
}

// no consent survives a run that is joined while it is queued with consent, reloaded and stopped.
func TestRecovery_ConsentedQueuedReloadStopRestart(t *testing.T) {
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
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:a", ""))
		require.NoError(t, b.send(firing("Ask", time.Now(), "i", "2")))
		after(time.Second)
		require.Equal(t, 1, b.count("remediation.decided ignore/joined"), b.dump())
		require.NoError(t, b.e.Reload(t.Context(), snap, "user:a"))
		after(time.Second)
		b.stop()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(5 * time.Minute)
		require.Equal(t, []string{"api", "ask"}, w.effects(), b.dump())
		require.Equal(t, 1, b.count("approval.requested"), b.dump())
	})
}

// live turns to dry-run and back while work is queued, running and asking: nothing is locked for ever.
func TestRecovery_ModeTurnsWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		mk := func(m policy.Mode) *Snapshot {
			one, two := w.runbook("Down", "api", ""), w.runbook("Web", "web", m)
			s := snapshot(w, policy.Live, one, two)
			s.MaxConcurrent = 1
			return s
		}
		b := start(t, w, mk(""), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		require.NoError(t, b.send(firing("Web", time.Now())))
		after(time.Second)
		require.NoError(t, b.e.Reload(t.Context(), mk(policy.DryRun), "user:a")) // queued: now in dry run
		after(time.Second)
		require.NoError(t, b.e.Reload(t.Context(), mk(""), "user:a"))
		after(time.Second)
		require.NoError(t, b.e.Reload(t.Context(), mk(policy.DryRun), "user:a"))
		require.NoError(t, b.e.Reload(t.Context(), mk(""), "user:a"))
		after(10 * time.Minute)
		require.ElementsMatch(t, []string{"api", "web"}, w.effects(), b.dump())
		require.Empty(t, b.e.View().Active)
		_ = b.e.do(t.Context(), func() {
			require.Empty(t, b.e.sched.Busy())
			require.Empty(t, b.e.dry.Busy())
			require.Zero(t, b.e.sched.Running()+b.e.dry.Running())
		})
	})
}

// the caller of a reload gives up in the middle: on record, and not in force?
func TestRecovery_AReloadWhoseCallerGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		old, young := snapshot(w, policy.Live, w.runbook("Down", "api", "")), snapshot(w, policy.Live, w.runbook("Down", "api", ""))
		young.Hash = "young"
		b := start(t, w, old, nil)
		defer b.stop()
		after(time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		inDoubt := &doubtful{Journal: b.e.journal, during: cancel}
		b.e.journal = inDoubt
		err := b.e.Reload(ctx, young, "user:a")
		after(time.Second)
		loaded := false
		for _, r := range b.journal.all() {
			loaded = loaded || r.Type == audit.ConfigLoaded && r.Config == "young"
		}
		require.Equal(t, loaded, b.e.Snapshot().Hash == "young", "on record: %v, in force: %s (%v)", loaded, b.e.Snapshot().Hash, err)
	})
}

// doubtful is audit.Log's Append when ctx ends during the commit: durable, and an error.
type doubtful struct {
	Journal
	during func()
}

func (d *doubtful) Append(ctx context.Context, recs ...*audit.Record) error {
	err := d.Journal.Append(ctx, recs...)
	d.during()
	if err == nil && ctx.Err() != nil {
		return audit.ErrInDoubt
	}
	return err
}

// an upstream is put back whose trouble ended while nobody watched: its old incident is acted upon.
func TestRecovery_AnUpstreamPutBackActsOnAnOldIncident(t *testing.T) {
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
		b := start(t, w, with, j)
		e = b.e
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "policy:"+rb.Policy.Name, "", time.Time{}))
		w.sky.watch.Start(t.Context())
		w.sky.turnPage(upstream.Incident, true)
		after(2 * time.Minute)
		require.Equal(t, 1, b.count("alert.firing"), b.dump())
		w.sky.watch.Stop()
		require.NoError(t, b.e.Reload(t.Context(), without, "user:a"))
		after(time.Minute)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "policy:"+rb.Policy.Name, ""))
		w.sky.turnPage(upstream.Operational, true) // over, and nobody looks
		after(3 * time.Hour)
		require.Empty(t, w.effects())
		w.sky.watchFor(j.ledger, tell)
		again := snapshot(w, policy.Live, rb)
		again.Upstreams = pageWatch{w.sky.watch}
		require.NoError(t, b.e.Reload(t.Context(), again, "user:a"))
		pass(300 * time.Millisecond) // the page takes its time
		w.sky.watch.Start(t.Context())
		after(time.Hour)
		eff, d := w.effects(), b.dump()
		w.sky.watch.Stop()
		b.stop()
		require.Empty(t, eff, "the incident was over for three hours\n%s", d)
	})
}

// the loop is free: a resolution and a guard's question are both there; which comes first is a matter of luck.
func TestRecovery_ADurableResolutionAndTheGuardRace(t *testing.T) {
	acted := 0
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""))
			j := &memory{ledger: ledger.New()}
			b := &bench{t: t, w: w, snap: snap, journal: j, handle: &handle{memory: j}}
			b.handle.fuse.Store(-1)
			a := firing("Down", time.Now())
			var busy atomic.Bool
			b.e = New(Options{Journal: b.handle, Ledger: j.ledger, Snapshot: snap, Logger: zap.NewNop()})
			tell := b.e.Committed
			j.tell = func(recs []*audit.Record) {
				if recs[len(recs)-1].Type == audit.StepStarted && !busy.Swap(true) {
					// The loop is busy when the intent became durable.
					go func() { _ = b.e.do(context.Background(), func() { pass(4 * time.Second) }) }()
					pass(time.Second)
					go func() {
						if err := b.send(resolved(a, time.Now())); err != nil {
							panic(err)
						}
					}()
				}
				tell(recs)
			}
			require.NoError(t, b.e.Start(t.Context()))
			require.NoError(t, b.send(a))
			after(2 * time.Minute)
			if len(w.effects()) > 0 {
				acted++
			}
			b.stop()
		})
	}
	require.Zero(t, acted, "of 40: the resolution was durable three seconds before the effect")
}
