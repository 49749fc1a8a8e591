package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// asking is a bench whose policy asks for consent, with an alert that fires.
func asking(t *testing.T, change func(*Runbook)) (*bench, ActiveRun) {
	w := newWorld()
	rb := w.book(t, "Down", "api", "")
	rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
	if change != nil {
		change(rb)
	}
	b := start(t, w, snapshot(w, policy.Live, rb), nil)
	require.NoError(t, b.send(firing("Down", time.Now())))
	after(time.Second)
	return b, b.asks()
}

// asks is the one run that asks for consent.
func (b *bench) asks() ActiveRun {
	var out []ActiveRun
	for _, a := range b.e.View().Active {
		if a.Asks != nil {
			out = append(out, a)
		}
	}
	require.Len(b.t, out, 1, "%v", b.lines())
	require.Equal(b.t, "awaiting_approval", out[0].State)
	return out[0]
}

func TestConsent_NothingIsDoneBeforeAndEverythingIsAskedAgainAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		require.Empty(t, b.w.effects())
		require.Equal(t, []string{"alert.firing", "remediation.decided await_approval/approval", "check.finished", "step.planned", "approval.requested", "escalation.sent"}, b.lines())
		require.Empty(t, b.e.sched.Busy(), "waiting before the first effect holds nothing")

		wrong := &PlanChangedError{}
		require.ErrorAs(t, b.e.Approve(t.Context(), a.ID, "another", "user:alice", ""), &wrong)
		require.Equal(t, wrong.Want, a.Asks.PlanHash)
		after(time.Minute)
		require.Empty(t, b.w.effects())

		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:alice", "looks right"))
		after(time.Minute)
		require.Equal(t, []string{"api"}, b.w.effects())
		require.Equal(t, []string{
			"approval.granted", "remediation.decided execute/allowed", "check.finished", "step.planned", "step.started", "step.finished",
			"check.finished", "remediation.verified", "remediation.closed succeeded", "remediation.decided defer/settling",
		}, b.lines()[6:], "confirmed, guarded and planned again")
		late := &StateError{}
		require.ErrorAs(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:bob", ""), &late, "a second consent comes too late")
	})
}

func TestConsent_ADifferentPlanAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		b.w.mu.Lock()
		b.w.container = "recreated"
		b.w.mu.Unlock()
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:alice", ""))
		after(time.Minute)
		require.Empty(t, b.w.effects(), "consent was to another container")
		again := b.asks()
		require.Equal(t, a.ID, again.ID)
		require.NotEqual(t, a.Asks.PlanHash, again.Asks.PlanHash)
		require.NoError(t, b.e.Approve(t.Context(), a.ID, again.Asks.PlanHash, "user:alice", ""))
		after(time.Minute)
		require.Equal(t, []string{"api"}, b.w.effects())
	})
}

func TestConsent_RefusedIsNotAskedAgainInTheEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		require.NoError(t, b.e.Reject(t.Context(), a.ID, "user:alice", "not at night"))
		after(24 * time.Hour)
		require.Empty(t, b.w.effects())
		require.Equal(t, 1, b.count("approval.requested"))
		require.Equal(t, 1, b.count("remediation.decided suppress/attempts"))
		require.Equal(t, 1, b.count("remediation.closed cancelled"))
	})
}

func TestConsent_ExpiredTellsOnceAndAsksAgainOnlyForAnotherPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		after(31 * time.Minute)
		require.Equal(t, 1, b.count("approval.expired"))
		require.Equal(t, 1, b.count("remediation.closed expired"))
		require.Equal(t, 2, b.count("escalation.sent"), "one that asks, one that says that nobody answered")
		after(12 * time.Hour)
		require.Equal(t, 1, b.count("approval.requested"))
		require.Equal(t, 2, b.count("escalation.sent"))
		require.Equal(t, 2, b.count("remediation.decided await_approval/approval"), "what is tried again quietly leaves no trace")
		require.Empty(t, b.w.effects())
		b.w.mu.Lock()
		b.w.container = "recreated"
		b.w.mu.Unlock()
		after(10 * time.Minute)
		require.NotEqual(t, a.Asks.PlanHash, b.asks().Asks.PlanHash)
	})
}

func TestConsent_EndsWithItsAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		require.NoError(t, b.send(resolved(firing("Down", time.Now()), time.Now())))
		after(time.Second)
		require.Error(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:alice", ""))
		after(time.Hour)
		require.Empty(t, b.w.effects())
		require.Equal(t, 1, b.count("remediation.closed no_action"))
		require.Zero(t, b.count("approval.expired"))
	})
}

func TestConsent_OutlivesARestartAndACrash(t *testing.T) {
	for name, crash := range map[string]bool{"restart": false, "crash": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, a := asking(t, nil)
				if crash {
					b.handle.dead.Store(true)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					_ = b.e.Stop(ctx)
				} else {
					b.stop()
				}
				after(10 * time.Minute)
				again := start(t, b.w, b.snap, b.journal)
				defer again.stop()
				after(time.Second)
				still := again.asks()
				require.Equal(t, a.ID, still.ID)
				require.Equal(t, a.Asks.PlanHash, still.Asks.PlanHash)
				require.True(t, a.Asks.Expires.Equal(still.Asks.Expires))
				require.Equal(t, 1, again.count("approval.requested"))
				b.w.hold(firing("Down", time.Now()).Fingerprint, CurrentAlert{State: StateActive})
				require.NoError(t, again.e.Approve(t.Context(), a.ID, still.Asks.PlanHash, "user:alice", ""))
				after(time.Minute)
				require.Equal(t, []string{"api"}, b.w.effects())
			})
		})
	}
}

func TestConsent_ToNothingWhilePausedOrChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := asking(t, nil)
		defer b.stop()
		require.NoError(t, b.e.Pause(t.Context(), "user:bob", "global", "stop", time.Time{}))
		require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:alice", ""))
		after(time.Minute)
		require.Empty(t, b.w.effects(), "everything is guarded again")
		require.NoError(t, b.e.Resume(t.Context(), "user:bob", "global", ""))
		after(time.Minute)
		second := b.asks()
		changed := b.w.book(t, "Down", "api", "")
		changed.Hash = "changed"
		require.NoError(t, b.e.Reload(t.Context(), snapshot(b.w, policy.Live, changed), "system"))
		after(time.Minute)
		require.Error(t, b.e.Approve(t.Context(), second.ID, second.Asks.PlanHash, "user:alice", ""), "the policy it was for is gone")
		require.Equal(t, []string{"api"}, b.w.effects(), "the new one asks nobody")
	})
}

func TestConsent_OfAStepAfterTheFirstEffectKeepsTheLocks(t *testing.T) {
	for name, answer := range map[string]string{"granted": "grant", "refused": "refuse", "expired": "wait"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				rb := w.book(t, "Down", "api", "")
				second := w.step(1, PhaseSteps, "fake.restart", "web")
				rb.Policy.Settings.Attempts = 1
				second.Approval = policy.Approval{Required: true, Timeout: time.Hour}
				rb.Steps = append(rb.Steps, second)
				rb.OnFailure = []*Step{w.step(0, PhaseOnFailure, "fake.restart", "spare")}
				b := start(t, w, snapshot(w, policy.Live, rb), nil)
				defer b.stop()
				require.NoError(t, b.send(firing("Down", time.Now())))
				after(20 * time.Minute) // longer than the deadline, which stands still
				a := b.asks()
				require.Equal(t, 1, *a.Asks.Step)
				require.Len(t, b.e.sched.Busy(), 3)
				switch answer {
				case "grant":
					require.NoError(t, b.e.Approve(t.Context(), a.ID, a.Asks.PlanHash, "user:alice", ""))
				case "refuse":
					require.NoError(t, b.e.Reject(t.Context(), a.ID, "user:alice", "no"))
				}
				after(2 * time.Hour)
				want := map[string][]string{"grant": {"api", "web"}, "refuse": {"api", "spare"}, "wait": {"api", "spare"}}[answer]
				require.Equal(t, want, w.effects())
				require.Empty(t, b.e.sched.Busy())
			})
		})
	}
}

func TestConsent_InDryRunNobodyIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.book(t, "Down", "api", "")
		rb.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
		b := start(t, w, snapshot(w, policy.DryRun, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Minute)
		require.Equal(t, 1, b.count("remediation.decided await_approval/approval"), "the verdict is what live would say")
		require.Equal(t, 1, b.count("remediation.closed planned"))
		require.Zero(t, b.count("approval.requested")+b.count("escalation.sent"))
	})
}

func TestQuarantine_AfterAFailureHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onApply = func(string) (actions.Result, error) {
			return actions.Result{}, &actions.Error{Code: actions.CodeFailed, Err: errAway}
		}
		rb := w.book(t, "Down", "api", "")
		rb.Policy.HoldOnFailure = true
		other := w.book(t, "Slow", "api", "")
		other.Policy.Name, other.Policy.Settings.Cooldown = "other", 0
		b := start(t, w, snapshot(w, policy.Live, rb, other), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		w.mu.Lock()
		w.onApply = nil
		w.mu.Unlock()
		require.NoError(t, b.send(firing("Slow", time.Now())))
		after(24 * time.Hour)
		require.Len(t, w.effects(), 1, "whatever policy asks")
		require.Equal(t, 2, b.count("remediation.decided suppress/quarantined"))
		require.Error(t, b.e.Clear(t.Context(), "web", "user:alice", ""))
		require.NoError(t, b.e.Clear(t.Context(), "api", "user:alice", "put in order"))
		w.hold(firing("Slow", time.Now()).Fingerprint, CurrentAlert{State: StateActive})
		after(time.Minute)
		require.Greater(t, len(w.effects()), 1, "%v", b.lines())
	})
}

func TestRun_GoesThroughAllGuardsAndEndsWithItsRemediation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.book(t, "Down", "api", "")
		rb.Policy.Manual, rb.Policy.Matchers = true, nil
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.decided ignore/no_policy"), "no alert starts it")

		ans, err := b.e.Run(t.Context(), rb.Policy.Name, map[string]string{"service": "api"}, "user:alice", "as in the runbook")
		require.NoError(t, err)
		require.Equal(t, "execute", ans.Verdict)
		require.NotEmpty(t, ans.Remediation)
		require.Len(t, ans.Guards, len(policy.Guards))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		ep, _ := b.journal.ledger.Episode(ans.Episode)
		require.False(t, ep.Open, "it ends with its remediation")
		require.Equal(t, ledger.OriginRun, ep.Origin)
		require.Equal(t, "user:alice", ep.Actor)

		ans, err = b.e.Run(t.Context(), rb.Policy.Name, nil, "user:alice", "again")
		require.NoError(t, err)
		require.Equal(t, "settling", ans.Reason.Code)
		require.Empty(t, ans.Remediation)
		after(24 * time.Hour)
		require.Len(t, w.effects(), 1, "what was refused does not start by surprise")
		_, err = b.e.Run(t.Context(), "no-such-policy", nil, "user:alice", "")
		require.ErrorContains(t, err, `no policy "no-such-policy"`)
	})
}

func TestHeld_ToResumeIsConsentToWhatAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.book(t, "Down", "api", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "api")
		rb.Steps = append(rb.Steps, w.step(1, PhaseSteps, "docker.restart", "web"))
		rb.Steps[1].If = condition(t, "labels.alertname == 'Down'")
		snap := snapshot(w, policy.Live, rb)
		snap.World = w.sky
		w.sky.set("web", "stopped", "unknown")
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("remediation.held"))
		var held string
		for _, a := range b.e.View().Active {
			held = a.ID
		}
		require.NoError(t, b.e.Order(t.Context(), held, false, "user:alice", "it may be started"))
		after(time.Minute)
		require.Equal(t, []string{"api", "web"}, w.effects())
	})
}

func condition(t *testing.T, source string) *Condition {
	c, err := CompileCondition(source, nil)
	require.NoError(t, err)
	return c
}

func TestGuardrail_SkipsTheStepAndTheRestIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		rb := w.book(t, "Down", "db", "")
		rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", "db")
		skip := w.step(1, PhaseSteps, "docker.restart", "indexer")
		skip.OnRefused = RefusedSkip
		rb.Steps = append(rb.Steps, skip)
		whole := w.book(t, "Whole", "db", "")
		whole.Policy.Name = "whole"
		whole.Steps = []*Step{w.step(0, PhaseSteps, "docker.restart", "db"), w.step(1, PhaseSteps, "docker.restart", "indexer")}
		whole.Steps[1].If = condition(t, "true")
		snap := snapshot(w, policy.Live, rb, whole)
		snap.World = w.sky
		snap.Guardrails = []policy.Guardrail{{
			Name: "not-the-indexer", Targets: []string{"indexer"}, Actions: []string{"docker.restart"},
			SuppressWhile: policy.SuppressWhile{Alert: matchers(`alertname="Trouble"`)[0]},
		}}
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Trouble", time.Now())))
		require.NoError(t, b.send(firing("Whole", time.Now())))
		after(time.Minute)
		require.Empty(t, w.effects(), "nothing is left half done")
		require.Positive(t, b.count("remediation.decided suppress/alert_firing"))
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, []string{"db"}, w.effects())
		require.Equal(t, 1, b.count("remediation.closed partial"))
		require.Equal(t, 1, b.count("step.skipped"))
	})
}

func TestDependency_TheCauseFirstAndTheRestOnlyIfStillNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		book := func(name, target string) *Runbook {
			rb := w.book(t, name, target, "")
			rb.Steps[0] = w.step(0, PhaseSteps, "docker.restart", target)
			return rb
		}
		db := book("DbDown", "db")
		db.Policy.Severity = "P1"
		snap := snapshot(w, policy.Live, book("ApiDown", "api"), book("IndexerDown", "indexer"), db)
		snap.World = w.sky
		b := start(t, w, snap, nil)
		defer b.stop()
		w.sky.set("db", "stopped", "crash")
		w.takes = 30 * time.Second
		api := firing("ApiDown", time.Now())
		require.NoError(t, b.send(api))
		require.NoError(t, b.send(firing("IndexerDown", time.Now())))
		require.NoError(t, b.send(firing("DbDown", time.Now())))
		after(20 * time.Second)
		require.Equal(t, []string{"db"}, w.effects())
		require.Equal(t, 2, b.count("remediation.decided suppress/dependency"))
		require.NoError(t, b.send(resolved(api, time.Now()))) // it recovers by itself
		after(2 * time.Minute)
		require.Equal(t, []string{"db", "indexer"}, w.effects(), "once the cause is gone, without a new notification")
	})
}

func TestUpstream_SpeaksAsAnAlertAndIsNotAskedAboutElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sky = newSky()
		tells := w.book(t, "UpstreamIncident", "up", "")
		tells.Policy.Settings.For, tells.Policy.Settings.Attempts = 15*time.Minute, 1
		over := w.book(t, "UpstreamIncident", "gaps", "")
		over.Policy.On = policy.OnResolved
		snap := snapshot(w, policy.Live, tells, over)
		led := ledger.New()
		journal := &memory{ledger: led}
		var e *Engine
		w.sky.watchFor(led, func(ctx context.Context, c upstream.Change) error { return e.UpstreamChanged(ctx, c) })
		snap.Upstreams, snap.Alerts = pageWatch{w.sky.watch}, w
		b := start(t, w, snap, journal)
		defer b.stop()
		e = b.e
		w.sky.watch.Start(t.Context())
		defer w.sky.watch.Stop()
		after(time.Minute)
		w.sky.turnPage("incident", true)
		require.NoError(t, b.send(resolved(firing("UpstreamIncident", time.Now(), "upstream", "stellar", "impact", "major"), time.Now())))
		after(10 * time.Minute)
		require.Empty(t, w.effects())
		after(30 * time.Minute)
		require.Equal(t, []string{"up"}, w.effects(), "after 15 minutes, and Alertmanager, which knows nothing of it, is not asked")
		w.sky.turnPage("operational", true)
		after(2 * time.Minute)
		require.Equal(t, []string{"up", "gaps"}, w.effects())
		for _, r := range journal.all() {
			if r.Type == audit.UpstreamChanged {
				require.NotEmpty(t, r.Reason.Text)
			}
		}
	})
}
