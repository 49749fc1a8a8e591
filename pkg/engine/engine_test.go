package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestEngine_RecordsEveryStepInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(time.Second)
		require.Equal(t, []string{
			"alert.firing", "remediation.decided execute/allowed", "check.finished", "step.planned", "step.started", "step.finished",
			"check.finished", "remediation.verified", "remediation.closed succeeded", "remediation.decided defer/settling",
			"alert.resolved", "remediation.decided ignore/resolved", "remediation.effect effective",
		}, b.lines())
		require.Equal(t, []string{"api"}, w.effects())
	})
}

func TestEngine_DryRunPlansAndTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.DryRun, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, []string{
			"alert.firing", "remediation.decided execute/allowed", "check.finished", "step.planned", "remediation.closed planned",
			"remediation.decided defer/settling",
		}, b.lines())
		after(24 * time.Hour)
		require.Empty(t, w.effects())
		require.Zero(t, w.forbidden.Load(), "apply is not even called")
		require.Zero(t, b.count("escalation.sent"), "nobody is told in dry run")
	})
}

func TestEngine_SameNotificationManyTimesIsOneRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		a := firing("Down", time.Now())
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 20 {
					require.NoError(t, b.send(a))
				}
			})
		}
		wg.Wait()
		after(10 * time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("alert.firing"))
	})
}

func TestEngine_FiresOnAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
		require.NoError(t, b.send(a))
		after(14 * time.Minute)
		require.Len(t, w.effects(), 1, "no second restart within settle")
		after(2 * time.Minute)
		require.Equal(t, 1, b.count("remediation.effect ineffective"))
		require.Len(t, w.effects(), 2, "the second attempt follows at once")
		lines := b.lines()
		second := len(lines) - 1 - slices.Index(reversed(lines), "remediation.decided execute/allowed")
		require.Less(t, slices.Index(lines, "remediation.effect ineffective"), second, "first it is known that it did not help")
		after(16 * time.Minute)
		require.Equal(t, 2, b.count("remediation.effect ineffective"))
		require.Equal(t, 1, b.count("escalation.sent"))
		after(48 * time.Hour)
		require.Len(t, w.effects(), 2)
		require.Equal(t, 1, b.count("escalation.sent"), "people are told once")
		require.Equal(t, 1, b.count("remediation.decided suppress/attempts"))
	})
}

func TestEngine_NotConfirmedIsTriedAgainQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.symptom.Store(false)
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
		require.NoError(t, b.send(a))
		after(2 * time.Hour)
		want := []string{
			"alert.firing", "remediation.decided execute/allowed", "check.finished", "remediation.decided suppress/not_confirmed",
			"remediation.closed no_action",
		}
		require.Equal(t, want, b.lines(), "repetitions with the same answer leave no trace")
		w.symptom.Store(true)
		after(5 * time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, append(want, "remediation.decided execute/allowed", "check.finished", "step.planned", "step.started"), b.lines()[:9])
	})
}

func TestEngine_UnknownIsNotYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.unknown.Store(true)
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(20 * time.Second)
		require.Empty(t, w.effects())
		require.Equal(t, 1, b.count("remediation.decided suppress/unconfirmable"))
	})
}

func TestEngine_GroupWithOneFiringAndOneResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", ""), w.book(t, "Other", "web", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now()), resolved(firing("Other", time.Now().Add(-time.Minute)), time.Now())))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("remediation.decided ignore/resolved"))
	})
}

func TestEngine_EarlierStartsAtContinuesTheEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		now := time.Now()
		require.NoError(t, b.send(firing("Down", now)))
		after(10 * time.Second)
		require.NoError(t, b.send(firing("Down", now.Add(-30*time.Second))))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Len(t, b.journal.ledger.Episodes(false), 1)
	})
}

func TestEngine_SilencedThenResolvedIsClosedByReconciliation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.symptom.Store(false)
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateSuppressed})
		require.NoError(t, b.send(a))
		after(6 * time.Minute)
		w.symptom.Store(true)
		after(10 * time.Minute)
		require.Equal(t, 1, b.count("remediation.decided suppress/silenced"))
		w.mu.Lock()
		delete(w.current, a.Fingerprint)
		w.mu.Unlock()
		after(12 * time.Minute)
		require.Equal(t, 1, b.count("alert.resolved"))
		require.Empty(t, b.journal.ledger.Episodes(true))
		require.Empty(t, w.effects())
	})
}

func TestEngine_StoreAwayAbandonsTheIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		until := time.Now().Add(20 * time.Second)
		b.journal.failing(func(recs []*audit.Record) error {
			if recs[len(recs)-1].Type == audit.StepStarted && time.Now().Before(until) {
				return errAway
			}
			return nil
		})
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Second)
		require.Empty(t, w.effects(), "no effect without a durable intent")
		require.Equal(t, 1, b.count("step.finished"))
		require.Equal(t, 1, b.count("remediation.closed cancelled"))
		after(2 * time.Minute)
		require.Equal(t, []string{"api"}, w.effects(), "confirmed again later")
	})
}

func TestEngine_JoinsAlertsOfOneTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = 30 * time.Second
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		one, two := firing("Down", time.Now(), "state", "idle"), firing("Down", time.Now(), "state", "active")
		require.NoError(t, b.send(one, two))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("remediation.decided ignore/joined"))
		require.NoError(t, b.send(resolved(one, time.Now())))
		after(time.Second)
		require.Zero(t, b.count("remediation.effect effective"), "not before all joined episodes have resolved")
		require.NoError(t, b.send(resolved(two, time.Now())))
		after(time.Second)
		require.Equal(t, 1, b.count("remediation.effect effective"))
	})
}

func TestEngine_FailedLastAttemptEscalatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onApply = func(string) (actions.Result, error) {
			return actions.Result{}, &actions.Error{Code: actions.CodeFailed, Err: errAway}
		}
		book := w.book(t, "Down", "api", "")
		book.Policy.Settings.Attempts = 1
		b := start(t, w, snapshot(w, policy.Live, book), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.Equal(t, 1, b.count("remediation.closed failed"))
		require.Equal(t, 1, b.count("escalation.sent"))
		after(24 * time.Hour)
		require.Len(t, w.effects(), 1)
	})
}

func TestEngine_PanicInAnActionIsAFailedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onApply = func(string) (actions.Result, error) { panic("boom") }
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.Equal(t, 1, b.count("remediation.closed failed"))
		var found bool
		for _, r := range b.journal.all() {
			if r.Type == audit.StepFinished {
				found = true
				require.Contains(t, r.Error, "boom")
				require.Contains(t, string(r.Result), "trace")
			}
		}
		require.True(t, found)
	})
}

func TestEngine_PauseStopsAndResumeAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.e.Pause(t.Context(), "user:ops", "global", "release", time.Time{}))
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Empty(t, w.effects())
		require.NoError(t, b.e.Resume(t.Context(), "user:ops", "global", "done"))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
	})
}

func TestEngine_PauseAfterTheFirstEffectHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Steps = append(book.Steps, w.step(1, PhaseSteps, "fake.restart", "web"))
		b := start(t, w, snapshot(w, policy.Live, book), nil)
		defer b.stop()
		w.takes = 10 * time.Second
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		require.NoError(t, b.e.Pause(t.Context(), "user:ops", "global", "stop", time.Time{}))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("remediation.held"))
		require.Equal(t, 1, b.count("escalation.sent"))
		id := b.e.View().Active[0].ID
		require.Equal(t, "held", b.e.View().Active[0].State)
		require.NoError(t, b.e.Resume(t.Context(), "user:ops", "global", ""))
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects(), "an operator resumes it, not the end of the pause")
		require.NoError(t, b.e.Order(t.Context(), id, false, "user:ops", "checked"))
		after(time.Minute)
		require.Equal(t, []string{"api", "web"}, w.effects())
		require.Equal(t, 1, b.count("remediation.closed succeeded"))
	})
}

func TestEngine_StopDuringAnEffectWaitsForItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = 10 * time.Second
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(5 * time.Second)
		b.stop()
		require.Equal(t, 1, b.count("step.finished"))
		require.Equal(t, 1, b.count("remediation.closed interrupted"))
		require.Equal(t, 0, b.journal.ledger.View("live").Attempts("restart-api", b.journal.ledger.Episodes(false)[0].ID, ""), "no failed attempt")
	})
}

func TestEngine_LateResolutionOfAnOlderEpisodeClosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		old := firing("Down", time.Now().Add(-time.Hour))
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Second)
		require.NoError(t, b.send(resolved(old, time.Now().Add(-30*time.Minute))))
		after(time.Second)
		require.Len(t, b.journal.ledger.Episodes(true), 1)
	})
}

func TestEngine_OwnAlertsNeverMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now(), "source", "remediator")))
		after(time.Minute)
		require.Equal(t, []string{"alert.firing", "remediation.decided ignore/own_alert"}, b.lines())
	})
}

func TestEngine_OnResolvedRunsOnceAndANewFiringCancelsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Policy.On = policy.OnResolved
		b := start(t, w, snapshot(w, policy.Live, book), nil)
		defer b.stop()
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.Empty(t, w.effects())
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(24 * time.Hour)
		require.Equal(t, []string{"api"}, w.effects())
	})
}

func TestEngine_EscalateStepEndsTheEpisodeForThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Steps = []*Step{w.step(0, PhaseSteps, "escalate", "")}
		b := start(t, w, snapshot(w, policy.Live, book), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(24 * time.Hour)
		require.Equal(t, 1, b.count("escalation.sent"))
		require.Equal(t, 1, b.count("remediation.closed escalated"))
	})
}

func TestEngine_TargetNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var err error = &actions.Error{Code: actions.CodeTargetNotFound, Err: errAway}
		w.planErr.Store(&err)
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Second)
		require.Equal(t, 1, b.count("remediation.decided suppress/target_not_found"))
		w.planErr.Store(nil)
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
	})
}

func TestEngine_AResultThatCannotBeWrittenHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), nil)
		defer b.stop()
		b.journal.failing(func(recs []*audit.Record) error {
			for _, r := range recs {
				if r.Type == audit.StepFinished && !strings.Contains(string(r.Result), "withheld") {
					return audit.ErrInvalid
				}
			}
			return nil
		})
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.closed succeeded"))
	})
}

func reversed(in []string) []string {
	out := slices.Clone(in)
	slices.Reverse(out)
	return out
}

// restart ends the bench's daemon as a crash would and starts another on the same
// journal, with another configuration if one is given.
func (b *bench) restart(snap *Snapshot) *bench {
	b.handle.dead.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_ = b.e.Stop(ctx)
	led := ledger.New()
	for _, r := range b.journal.all() {
		led.Apply([]*audit.Record{&r})
	}
	b.journal.mu.Lock()
	b.journal.ledger = led
	b.journal.mu.Unlock()
	return start(b.t, b.w, snap, b.journal)
}

func TestEngine_ACrashBetweenTwoEffectsIsHeldAndAChangedPolicyCannotResumeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Hash = "before"
		book.Steps = append(book.Steps, w.step(1, PhaseSteps, "fake.restart", "web"))
		crash := make(chan struct{})
		b := start(t, w, snapshot(w, policy.Live, book), nil)
		b.journal.failing(func(recs []*audit.Record) error {
			if recs[len(recs)-1].Type == audit.StepStarted && *recs[len(recs)-1].Step == 1 {
				close(crash)
				return audit.ErrClosed
			}
			return nil
		})
		require.NoError(t, b.send(firing("Down", time.Now())))
		<-crash
		b.journal.failing(nil)
		changed := w.book(t, "Down", "api", "")
		changed.Hash = "after"
		b = b.restart(snapshot(w, policy.Live, changed))
		defer b.stop()
		after(time.Minute)
		require.Equal(t, []string{"api"}, w.effects())
		require.Equal(t, 1, b.count("remediation.held"))
		id := b.e.View().Active[0].ID
		require.ErrorContains(t, b.e.Order(t.Context(), id, false, "user:ops", ""), "changed since it began")
		require.NoError(t, b.e.Order(t.Context(), id, true, "user:ops", "by hand"))
		after(time.Second)
		require.Equal(t, 1, b.count("remediation.closed cancelled"))
		require.Equal(t, []string{"api"}, w.effects())
	})
}

func TestEngine_DryRunThatWouldOnlyTellPeopleDoesNotRepeatItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Steps = append([]*Step{w.step(0, PhaseSteps, "escalate", "")}, w.step(1, PhaseSteps, "fake.restart", "api"))
		b := start(t, w, snapshot(w, policy.DryRun, book), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(24 * time.Hour)
		require.Equal(t, 1, b.count("remediation.closed planned"))
	})
}

func TestEngine_NoWaitsAreNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		book := w.book(t, "Down", "api", "")
		book.Policy.Settings = policy.Settings{Attempts: 2, Deadline: time.Minute}
		snap := snapshot(w, policy.DryRun, book)
		snap.GlobalLimits = nil
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Hour)
		require.Less(t, b.count("remediation.closed planned"), 25)
	})
}

func TestEngine_ARepetitionIsNotTakenInBehindAReconciledEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w
		b := start(t, w, snap, nil)
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.NoError(t, b.send(a)) // changes nothing and leaves no record
		w.mu.Lock()
		delete(w.current, a.Fingerprint)
		w.mu.Unlock()
		after(15 * time.Minute)
		require.Equal(t, 1, b.count("alert.resolved"))
		b = b.restart(snap)
		defer b.stop()
		after(time.Second)
		require.Equal(t, 1, b.count("alert.firing"), "not reopened by an old repetition")
	})
}
