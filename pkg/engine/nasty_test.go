package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// relive is the journal as a restarted daemon reads it.
func relive(j *memory) *memory {
	l := ledger.New()
	n := &memory{ledger: l, recs: j.all()}
	for i := range n.recs {
		l.Apply([]*audit.Record{&n.recs[i]})
	}
	return n
}

// Processed repetition pending at restart reopens an episode closed by reconciliation.
func TestEngine_ARestartDoesNotReopenWhatReconciliationClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w
		w.symptom.Store(false)
		b := start(t, w, snap, nil)
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateSuppressed})
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.NoError(t, b.send(a)) // repetition
		after(20 * time.Minute)
		w.drop(a.Fingerprint)
		after(20 * time.Minute) // closed by reconciliation
		require.Equal(t, 1, b.count("alert.resolved"))
		b.stop()
		pass(2 * time.Hour)
		w.symptom.Store(true) // something else
		b = start(t, w, snap, relive(b.journal))
		after(time.Minute)
		eff := w.effects()
		b.stop()
		require.Empty(t, eff, strings.Join(b.lines(), "\n"))
	})
}

// Accepted, killed before intake, hours later treated as fresh.
func TestEngine_NewsFromBeforeAnOutageIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, w.book(t, "Down", "api", ""))
		snap.Alerts = w // Alertmanager lists nothing
		a := firing("Down", time.Now())
		n, raw := payload(a)
		_ = n
		j := &memory{ledger: ledger.New()}
		require.NoError(t, j.Append(t.Context(), &audit.Record{Type: audit.NotificationReceived, Actor: "system", Data: audit.JSON(NotificationData{Payload: raw})}))
		pass(3 * time.Hour)
		b := start(t, w, snap, relive(j))
		after(time.Minute)
		eff := w.effects()
		b.stop()
		require.Empty(t, eff, "nobody asked Alertmanager, which does not list the alert")
	})
}

// Retries>0 + target_busy is never decided again.
func TestEngine_ABusyTargetDoesNotEndACase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		one, two := w.runbook("Down", "api", ""), w.runbook("Other", "api", "")
		two.Policy.Name = "two"
		two.Policy.Settings.Cooldown = 0
		two.Confirm[0].Run = fakeCheck{func() actions.Result { return actions.Result{OK: true} }}
		two.Verify[0].Within = 4 * time.Minute
		w.healthy.Store(false)
		w.symptom.Store(false)
		one.Policy.Settings.Cooldown = 0
		b := start(t, w, snapshot(w, policy.Live, one, two), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(20 * time.Second)
		require.NoError(t, b.send(firing("Other", time.Now())))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.decided defer/target_busy"), b.lines())
		w.healthy.Store(true)
		w.symptom.Store(true)
		after(4 * time.Hour)
		n := 0
		for _, r := range b.journal.all() {
			if r.Type == audit.StepStarted && r.Policy == "restart-api" {
				n++
			}
		}
		_, hasTimer := b.e.timers.At(sortedKeys(b.e.cases)[0])
		t.Log("view", b.e.View().Waiting, hasTimer)
		require.NotZero(t, n, "the symptom has been there for 4 hours, its target is free")
	})
}

// Dry run, the effect has an `if`: hot loop.
func TestEngine_DryRunSettlesConditionalEffects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		c, err := CompileCondition("1 == 1", nil)
		require.NoError(t, err)
		rb.Steps[0].If = c
		b := start(t, w, snapshot(w, policy.DryRun, rb), nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		got := b.count("remediation.closed planned")
		b.stop()
		require.Equal(t, 1, got, "%d records in a minute", len(b.lines()))
	})
}

// Policy that no longer matches after reload still acts.
func TestEngine_AReloadEndsCasesThatMatchNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		snap := snapshot(w, policy.Live, rb)
		snap.Alerts = w
		w.symptom.Store(true)
		b := start(t, w, snap, nil)
		defer b.stop()
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateSuppressed})
		require.NoError(t, b.send(a))
		after(10 * time.Minute)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "global", ""))
		after(2 * time.Second)
		require.Equal(t, 1, b.count("remediation.decided suppress/silenced"), b.lines())
		rb2 := w.runbook("SomethingElse", "api", "") // same name, other matchers
		snap2 := snapshot(w, policy.Live, rb2)
		snap2.Alerts = w
		require.NoError(t, b.e.Reload(t.Context(), snap2, "user:a"))
		after(time.Minute)
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
		after(10 * time.Minute)
		require.Empty(t, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

// Reload while it runs; second attempt of a policy that no longer matches.
func TestEngine_ASecondAttemptNeedsAPolicyThatStillMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.healthy.Store(false)
		w.takes = time.Minute
		rb := w.runbook("Down", "api", "")
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Second)
		require.NoError(t, b.e.Reload(t.Context(), snapshot(w, policy.Live, w.runbook("SomethingElse", "api", "")), "user:a"))
		after(2 * time.Hour)
		require.Len(t, w.effects(), 1, strings.Join(b.lines(), "\n"))
	})
}

// Reload loses a deferred on: resolved case.
func TestEngine_AReloadKeepsWaitingResolutions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Policy.On = policy.OnResolved
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(time.Minute)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(time.Minute)
		require.NoError(t, b.e.Reload(t.Context(), snapshot(w, policy.Live, rb), "user:a"))
		after(time.Minute)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "global", ""))
		after(2 * time.Hour)
		require.Len(t, w.effects(), 1, strings.Join(b.lines(), "\n"))
	})
}

// Pause acknowledged while the intent is retried; the effect follows.
func TestEngine_APauseDuringTheIntentCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := &memory{ledger: ledger.New()}
		failed := false
		j.fail = func(recs []*audit.Record) error {
			if recs[len(recs)-1].Type == audit.StepStarted && !failed {
				failed = true
				return errAway
			}
			return nil
		}
		b := start(t, w, snapshot(w, policy.Live, w.book(t, "Down", "api", "")), j)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(10 * time.Millisecond)
		require.True(t, failed)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		require.Empty(t, w.effects())
		after(time.Minute)
		require.Empty(t, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

func twoSteps(w *world) *Runbook {
	rb := w.runbook("Down", "api", "")
	rb.Steps = []*Step{w.step(0, PhaseSteps, "fake.restart", "api"), w.step(1, PhaseSteps, "fake.restart", "db")}
	return rb
}

// Held, daemon restarted, symptom gone, operator resumes: closed no_action half done.
func TestEngine_AResumedRemediationIsBroughtToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, twoSteps(w))
		b := start(t, w, snap, nil)
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		after(time.Minute)
		require.Equal(t, 1, b.count("remediation.held"))
		b.stop()
		w.symptom.Store(false) // the first step helped
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "global", ""))
		id := b.e.View().Active[0].ID
		require.NoError(t, b.e.Order(t.Context(), id, false, "user:a", "go on"))
		after(time.Minute)
		require.Equal(t, []string{"api", "db"}, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

// Config changed between crash and restart: resume acts on an unlocked target, another step.
// Step failed, crash before closing, resume: goes on and says succeeded.
// The only step failed; crash before closing: recovered as succeeded.
func TestEngine_RecoveryRemembersAFailedStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onApply = func(target string) (actions.Result, error) { return actions.Result{}, errors.New("boom") }
		j := &memory{ledger: ledger.New()}
		dead := false
		j.fail = func(recs []*audit.Record) error {
			if dead || recs[len(recs)-1].Type == audit.RemediationClosed {
				dead = true
				return audit.ErrClosed
			}
			return nil
		}
		snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""))
		b := start(t, w, snap, j)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Minute)
		_ = b.e.Stop(context.Background())
		b = start(t, w, snap, relive(j))
		defer b.stop()
		after(time.Minute)
		require.Zero(t, b.count("remediation.closed succeeded"), strings.Join(b.lines(), "\n"))
	})
}

// Annotated chooses its target by an annotation.
type annotated struct{ fakeAction }

func (a annotated) at(s actions.Scope) fakeAction {
	return fakeAction{a.w, s.Alert.Annotations["service"]}
}
func (a annotated) Targets(s actions.Scope) (actions.Targets, error) { return a.at(s).Targets(s) }
func (a annotated) Plan(c context.Context, s actions.Scope) (actions.Plan, error) {
	return a.at(s).Plan(c, s)
}

func (a annotated) Apply(c context.Context, s actions.Scope, p actions.Plan, h actions.Hands) (actions.Result, error) {
	return fakeAction{a.w, p.Targets[0]}.Apply(c, s, p, h)
}

// The target moves after the lock was taken.
func TestEngine_APlanKeepsToTheLockedTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Steps[0].Run = annotated{fakeAction{w: w}}
		rb.Confirm[0].Run = slowCheck{}
		w.takes = time.Minute
		rb.Policy.Settings.Cooldown = 0
		b := start(t, w, snapshot(w, policy.Live, rb, w.runbook("Pay", "payments", "")), nil)
		defer b.stop()
		a := firing("Down", time.Now())
		a.Annotations = map[string]string{"service": "api"}
		require.NoError(t, b.send(a))
		after(time.Second)
		require.NoError(t, b.send(firing("Pay", time.Now())))
		moved := a
		moved.StartsAt = a.StartsAt.Add(-time.Minute)
		moved.Annotations = map[string]string{"service": "payments"}
		require.NoError(t, b.send(moved))
		after(10 * time.Minute)
		require.Zero(t, w.clashes, fmt.Sprint(w.effects()))
		locked := map[string][]string{}
		for _, r := range b.journal.all() {
			if r.Type == audit.RemediationDecided && r.Verdict == "execute" {
				locked[r.Remediation] = r.Targets
			}
			if r.Type == audit.StepStarted {
				require.Contains(t, locked[r.Remediation], r.Target)
			}
		}
	})
}

type slowCheck struct{}

func (slowCheck) Needs() []string { return nil }
func (slowCheck) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Exact: true}, nil
}

func (slowCheck) Check(context.Context, actions.Scope) actions.Result {
	pass(20 * time.Second)
	return actions.Result{OK: true}
}

// A joined episode whose attempts are over gets another effect when the asking one resolves.
func TestEngine_JoiningIsNoWayRoundAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.healthy.Store(false)
		rb := w.runbook("Down", "api", "")
		rb.Policy.Settings.Limits = nil
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		old := firing("Down", time.Now(), "n", "1")
		require.NoError(t, b.send(old))
		after(2 * time.Hour)
		require.Len(t, w.effects(), 2)
		require.Equal(t, 1, b.count("remediation.decided suppress/attempts"))
		rb.Confirm[0].Run = slowCheck{}
		a := firing("Down", time.Now(), "n", "2")
		require.NoError(t, b.send(a))
		after(time.Second)
		require.NoError(t, b.send(resolved(old, time.Now()))) // reopens below: joins
		older := old
		require.NoError(t, b.send(older))
		after(time.Second)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(10 * time.Minute)
		require.Len(t, w.effects(), 2, strings.Join(b.lines(), "\n"))
	})
}

// Stale alert joins, the asking one resolves.
func TestEngine_JoiningIsNoWayRoundAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Confirm[0].Run = slowCheck{}
		b := start(t, w, snapshot(w, policy.Live, rb), nil)
		defer b.stop()
		a := firing("Down", time.Now(), "n", "2")
		require.NoError(t, b.send(a))
		after(time.Second)
		require.NoError(t, b.send(firing("Down", time.Now().Add(-48*time.Hour), "n", "1")))
		after(time.Second)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(10 * time.Minute)
		require.Empty(t, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

// Silenced, absent: on: resolved acts.
func TestEngine_ResolutionWantsAlertmanagersWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Policy.On = policy.OnResolved
		snap := snapshot(w, policy.Live, rb)
		snap.Alerts = w
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateSuppressed})
		require.NoError(t, b.send(a))
		after(20 * time.Minute)
		w.drop(a.Fingerprint)
		after(30 * time.Minute)
		require.Empty(t, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

// Silenced while confirm waits.
func TestEngine_TheAlertIsAskedAboutRightBeforeTheEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		rb := w.runbook("Down", "api", "")
		rb.Confirm[0].Within = 14 * time.Minute
		w.symptom.Store(false)
		snap := snapshot(w, policy.Live, rb)
		snap.Alerts = w
		b := start(t, w, snap, nil)
		defer b.stop()
		a := firing("Down", time.Now())
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
		require.NoError(t, b.send(a))
		after(2 * time.Minute)
		w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateSuppressed})
		after(11 * time.Minute)
		w.symptom.Store(true)
		after(time.Minute)
		require.Empty(t, w.effects())
	})
}

// A failure before the first effect is decided again after cooldown.
func TestEngine_AFailureBeforeTheFirstEffectIsRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var err error = &actions.Error{Code: actions.CodeUnreachable, Err: errors.New("docker away")}
		w.planErr.Store(&err)
		b := start(t, w, snapshot(w, policy.Live, w.runbook("Down", "api", "")), nil)
		defer b.stop()
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(24 * time.Hour)
		require.Less(t, len(b.lines()), 600, "records of one alert in a day while docker is away")
	})
}

// What had not started is closed as interrupted, not left to look like a crash.
func TestEngine_AStopClosesWhatWasQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.takes = time.Minute
		snap := snapshot(w, policy.Live, w.runbook("Down", "api", ""), w.runbook("Pay", "payments", ""))
		snap.MaxConcurrent = 1
		b := start(t, w, snap, nil)
		require.NoError(t, b.send(firing("Down", time.Now())))
		after(time.Second)
		require.NoError(t, b.send(firing("Pay", time.Now())))
		after(time.Second)
		b.stop()
		require.Equal(t, 2, b.count("remediation.closed interrupted"), strings.Join(b.lines(), "\n"))
	})
}

// Hot loop in live mode: escalated etc. checked elsewhere; resolved-while-held after restart.
func TestEngine_AResumedRemediationOutlivesItsAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		snap := snapshot(w, policy.Live, twoSteps(w))
		b := start(t, w, snap, nil)
		a := firing("Down", time.Now())
		require.NoError(t, b.send(a))
		after(500 * time.Millisecond)
		require.NoError(t, b.e.Pause(t.Context(), "user:a", "global", "", time.Time{}))
		after(time.Minute)
		require.NoError(t, b.send(resolved(a, time.Now())))
		after(time.Minute)
		b.stop()
		b = start(t, w, snap, relive(b.journal))
		defer b.stop()
		after(time.Minute)
		require.NoError(t, b.e.Resume(t.Context(), "user:a", "global", ""))
		require.NoError(t, b.e.Order(t.Context(), b.e.View().Active[0].ID, false, "user:a", "go on"))
		after(time.Minute)
		require.Equal(t, []string{"api", "db"}, w.effects(), strings.Join(b.lines(), "\n"))
	})
}

// Removed policy, held, resumed
