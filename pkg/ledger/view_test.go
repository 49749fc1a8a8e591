package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

const target = "docker:local/a"

func TestView_EffectsCountARemediationOnceByItsLastEnd(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target, "docker:local/b")
	h.started(at(0), "r-1", "P", target, 0)
	h.finished(at(1*minute), "r-1", "P", target, 0, false)
	h.started(at(20*minute), "r-1", "P", target, 1)
	h.finished(at(30*minute), "r-1", "P", target, 1, false)
	h.started(at(40*minute), "r-1", "P", "docker:local/b", 2)

	v := h.l.View(ledger.Live)
	require.Equal(t, []time.Time{at(30 * minute)}, v.Effects(target, "", at(0)))
	require.Equal(t, []time.Time{at(40 * minute)}, v.Effects("docker:local/b", "", at(0)), "one under way counts from its start")
	require.Equal(t, []time.Time{at(40 * minute)}, v.Effects("", "", at(0)))
	require.Empty(t, v.Effects(target, "", at(30*minute)), "a window is open at its beginning")
	require.Empty(t, v.Effects(target, "r-1", at(0)), "its own effects never count")

	last, ok := v.LastEffect(target, "")
	require.True(t, ok)
	require.Equal(t, ledger.Effect{Time: at(30 * minute), Remediation: "r-1", Policy: "P"}, last)
	_, ok = v.LastEffect(target, "r-1")
	require.False(t, ok)
	require.True(t, v.HadEffect("r-1"))
	require.False(t, v.HadEffect("r-2"))
}

func TestView_AnEffectCountsForEachOfItsTargets(t *testing.T) {
	const b = "docker:local/b"
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target, b)
	h.intent(at(0), "r-1", target, b, target)
	h.finished(at(1*minute), "r-1", "P", target, 0, false) // the result need not name them again
	h.closed(at(2*minute), "r-1", "succeeded", ledger.Live, ledger.ClosedData{})

	v := h.l.View(ledger.Live)
	for _, tgt := range []string{target, b, ""} {
		require.Equal(t, []time.Time{at(1 * minute)}, v.Effects(tgt, "", at(0)), tgt)
		last, ok := v.LastEffect(tgt, "")
		require.True(t, ok, tgt)
		require.Equal(t, at(1*minute), last.Time, tgt)
	}
	for _, tgt := range []string{target, b} {
		_, ok := v.LastSuccess("P", tgt, "")
		require.True(t, ok, tgt)
	}
	require.Equal(t, 1, v.Attempts("P", "e-1", ""))
	rem, _ := h.l.Remediation("r-1")
	require.Equal(t, target, rem.Intents[0].Target)
	require.Equal(t, []string{target, b}, rem.Intents[0].Targets)

	h.decided(at(10*minute), "e-1", "P", "r-2", "allowed", ledger.Live, target, b)
	h.intent(at(10*minute), "r-2", target, b)
	h.finished(at(11*minute), "r-2", "P", target, 0, true)
	require.Empty(t, v.Effects(b, "", at(2*minute)), "a cancelled one never happened, on none of them")
}

func TestView_CancelledIntentNeverHappened(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(0), "r-1", "P", target, 0)
	h.finished(at(1*minute), "r-1", "P", target, 0, true)
	h.closed(at(2*minute), "r-1", "succeeded", ledger.Live, ledger.ClosedData{})

	v := h.l.View(ledger.Live)
	_, ok := v.LastEffect(target, "")
	require.False(t, ok)
	require.Empty(t, v.Effects("", "", at(-minute)))
	_, ok = v.LastSuccess("P", target, "")
	require.False(t, ok)
	require.Zero(t, v.Attempts("P", "e-1", ""))
	require.False(t, v.HadEffect("r-1"))
}

func TestView_AttemptsOfEachJoinedEpisode(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "a", at(0), ledger.CauseWebhook)
	h.firing(at(0), "e-2", "b", at(0), ledger.CauseWebhook)
	h.firing(at(0), "e-3", "c", at(0), ledger.CauseWebhook)
	h.firing(at(0), "e-4", "d", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(1*minute), "r-1", "P", target, 0)
	h.decided(at(2*minute), "e-2", "P", "r-1", "joined", ledger.Live, target) // after the effect
	h.finished(at(3*minute), "r-1", "P", target, 0, false)
	h.closed(at(4*minute), "r-1", "failed", ledger.Live, ledger.ClosedData{Episodes: []string{"e-1", "e-2", "e-3"}})
	h.decided(at(5*minute), "e-4", "P", "r-1", "joined", ledger.Live, target) // too late

	v := h.l.View(ledger.Live)
	for ep, want := range map[string]int{"e-1": 1, "e-2": 1, "e-3": 1, "e-4": 0, "unknown": 0} {
		require.Equal(t, want, v.Attempts("P", ep, ""), ep)
	}
	require.Zero(t, v.Attempts("Q", "e-1", ""), "per policy")
	require.Zero(t, v.Attempts("P", "e-1", "r-1"), "not its own")
}

func TestView_GracefulStopIsNoAttemptButAnEffect(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(0), "r-1", "P", target, 0)
	h.finished(at(1*minute), "r-1", "P", target, 0, false)
	h.closed(at(1*minute), "r-1", "interrupted", ledger.Live, ledger.ClosedData{Intents: 1, Shutdown: true})

	v := h.l.View(ledger.Live)
	require.Zero(t, v.Attempts("P", "e-1", ""))
	_, ok := v.LastEffect(target, "")
	require.True(t, ok, "cooldown and limits know of it")
	_, ok = v.LastSuccess("P", target, "")
	require.False(t, ok)
}

func TestView_SettlesAfterWhatEndedWell(t *testing.T) {
	for outcome, want := range map[string]bool{
		"succeeded": true, "unverified": true, "partial": true,
		"failed": false, "interrupted": false, "no_action": false, "escalated": false, "cancelled": false, "expired": false,
	} {
		h := newHistory()
		h.worked(at(0), "e-1", "P", "r-1", target, outcome)
		got, ok := h.l.View(ledger.Live).LastSuccess("P", target, "")
		require.Equal(t, want, ok, outcome)
		if ok {
			require.Equal(t, at(2*minute), got.Time)
		}
		_, ok = h.l.View(ledger.Live).LastSuccess("P", "docker:local/b", "")
		require.False(t, ok, "a target that was not touched")
	}
}

func TestView_PlannedWorkCountsInDryRunOnly(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.DryRun, target)
	h.closed(at(1*minute), "r-1", "planned", ledger.DryRun, ledger.ClosedData{Planned: []string{target, target}})

	dry, live := h.l.View(ledger.DryRun), h.l.View(ledger.Live)
	got, ok := dry.LastEffect(target, "")
	require.True(t, ok)
	require.True(t, got.Planned)
	require.Len(t, dry.Effects("", "", at(0)), 1)
	_, ok = dry.LastSuccess("P", target, "")
	require.True(t, ok)
	require.Zero(t, dry.Attempts("P", "e-1", ""), "attempts are of the live only")

	_, ok = live.LastEffect(target, "")
	require.False(t, ok)
	require.Empty(t, live.Effects("", "", at(0)))
	_, ok = live.LastSuccess("P", target, "")
	require.False(t, ok)

	h.worked(at(10*minute), "e-1", "P", "r-2", target, "succeeded")
	got, _ = dry.LastEffect(target, "")
	require.Equal(t, "r-2", got.Remediation, "a dry run reads what really happened, too")
	require.Len(t, dry.Effects("", "", at(0)), 2)
	require.Equal(t, 1, dry.Attempts("P", "e-1", ""))
}

func TestView_FinalEndsThePolicyForTheEpisode(t *testing.T) {
	for _, c := range []struct {
		outcome, code string
		want          bool
	}{
		{"escalated", "handed_over", true},
		{"cancelled", ledger.Rejected, true},
		{"cancelled", "resolved", false},
		{"expired", "expired", false},
		{"failed", ledger.Rejected, false},
		{"no_action", "", false},
	} {
		h := newHistory()
		h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
		h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
		h.add(at(1*minute), audit.Record{
			Type: audit.RemediationClosed, Remediation: "r-1", Outcome: c.outcome, Reason: &audit.Reason{Code: c.code},
		})
		_, live := h.l.View(ledger.Live).Final("P", "e-1")
		_, dry := h.l.View(ledger.DryRun).Final("P", "e-1")
		require.Equal(t, c.want, live, "%s, %s", c.outcome, c.code)
		require.Equal(t, c.want, dry, "a dry run says what live would: %s, %s", c.outcome, c.code)
	}
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.DryRun, target)
	h.closed(at(1*minute), "r-1", "escalated", ledger.DryRun, ledger.ClosedData{})
	_, live := h.l.View(ledger.Live).Final("P", "e-1")
	require.False(t, live, "what a dry run came to does not bind live")
	_, dry := h.l.View(ledger.DryRun).Final("P", "e-1")
	require.True(t, dry)
}

func TestView_Pauses(t *testing.T) {
	h := newHistory()
	pause := func(scope string, until time.Time) {
		h.add(at(0), audit.Record{
			Type: audit.ControlPaused, Actor: "user:alice",
			Data: audit.JSON(ledger.PauseData{Scope: scope, Reason: "work", Until: until}),
		})
	}
	v := h.l.View(ledger.Live)
	pause("target:"+target, at(10*minute))
	_, ok := v.Paused(at(1*minute), "P", nil)
	require.False(t, ok)
	p, ok := v.Paused(at(1*minute), "P", []string{target})
	require.True(t, ok)
	require.Equal(t, ledger.Pause{Scope: "target:" + target, Reason: "work", Actor: "user:alice", Since: at(0), Until: at(10 * minute)}, p)
	_, ok = v.Paused(at(10*minute), "P", []string{target})
	require.False(t, ok, "it has run out")

	pause("policy:P", time.Time{})
	_, ok = v.Paused(at(20*minute), "P", nil)
	require.True(t, ok)
	_, ok = v.Paused(at(20*minute), "Q", nil)
	require.False(t, ok)
	require.Len(t, h.l.Pauses(at(20*minute)), 1)
	h.add(at(21*minute), audit.Record{Type: audit.ControlResumed, Data: audit.JSON(ledger.PauseData{Scope: "policy:P"})})
	require.Empty(t, h.l.Pauses(at(22*minute)))
}

func TestRemediation_States(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(1*minute), "r-1", "P", target, 0)
	r, ok := h.l.Remediation("r-1")
	require.True(t, ok)
	require.Equal(t, ledger.Running, r.State)
	in, open := r.OpenIntent()
	require.True(t, open)
	require.Equal(t, target, in.Target)

	h.finished(at(2*minute), "r-1", "P", target, 0, false)
	h.add(at(3*minute), audit.Record{Type: audit.RemediationHeld, Remediation: "r-1", Reason: &audit.Reason{Code: "paused"}})
	r, _ = h.l.Remediation("r-1")
	require.Equal(t, ledger.Held, r.State)
	_, open = r.OpenIntent()
	require.False(t, open)
	h.add(at(4*minute), audit.Record{Type: audit.ControlResumed, Remediation: "r-1"})
	r, _ = h.l.Remediation("r-1")
	require.Equal(t, ledger.Running, r.State)
	h.add(at(5*minute), audit.Record{Type: audit.RemediationVerified, Remediation: "r-1"})
	h.closed(at(5*minute), "r-1", "succeeded", ledger.Live, ledger.ClosedData{})
	h.add(at(6*minute), audit.Record{Type: audit.RemediationEffect, Remediation: "r-1", Effect: "effective"})
	r, _ = h.l.Remediation("r-1")
	require.Equal(t, ledger.Closed, r.State)
	require.True(t, r.Verified)
	require.Equal(t, "effective", r.Effect)
	require.Len(t, h.l.Remediations(nil), 1)
	require.Empty(t, h.l.Remediations(func(r *ledger.Remediation) bool { return r.State != ledger.Closed }))
}

func TestLedger_ClockSetBackClampsTheFutureOnce(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.worked(at(1000*time.Hour), "e-1", "P", "r-1", target, "succeeded")      // the clock was wrong
	h.firing(at(5*minute), "e-2", "other", at(5*minute), ledger.CauseWebhook) // it was set right

	v := h.l.View(ledger.Live)
	last, ok := v.LastEffect(target, "")
	require.True(t, ok)
	require.Equal(t, at(5*minute), last.Time)
	won, _ := v.LastSuccess("P", target, "")
	require.Equal(t, at(5*minute), won.Time)
	require.Empty(t, v.Effects(target, "", at(5*minute)), "an hour later it will have left the window like any other")
	require.Len(t, v.Effects(target, "", at(5*minute-1)), 1)
}

// The journal writes no earlier time than its last: after the clock was set back by
// hours its records carry the old time, and the wait must not move with the clock.
func TestLedger_ClockEndsWaitsThatWouldMoveWithIt(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.worked(at(1000*time.Hour), "e-1", "P", "r-1", target, "succeeded")
	h.l.Clock(at(5 * minute))
	last, ok := h.l.View(ledger.Live).LastEffect(target, "")
	require.True(t, ok)
	require.Equal(t, at(5*minute), last.Time)

	h.worked(at(1000*time.Hour), "e-1", "P", "r-2", target, "succeeded") // pinned to the journal's last time
	h.l.Clock(at(30 * minute))
	h.l.Clock(at(60 * minute))
	v := h.l.View(ledger.Live)
	require.Equal(t, []time.Time{at(5 * minute), at(30 * minute)}, v.Effects(target, "", at(0)), "each stays where it was first seen")
	won, _ := v.LastSuccess("P", target, "")
	require.Equal(t, at(30*minute), won.Time)
}

func TestLedger_WrongClockDoesNotForget(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.worked(at(0), "e-1", "P", "r-1", target, "failed")
	h.resolved(at(3*minute), "e-1", "fp", at(0), at(3*minute), ledger.CauseWebhook)
	for i := len(h.recs); i < 999; i++ {
		h.add(at(4*minute), audit.Record{Type: audit.UpstreamChanged})
	}
	h.add(at(9000*time.Hour), audit.Record{Type: audit.UpstreamChanged}) // prunes, with a wrong clock
	h.firing(at(5*minute), "e-2", "fp", at(5*minute), ledger.CauseWebhook)
	require.Equal(t, 1, h.l.View(ledger.Live).Attempts("P", "e-2", ""))
}

func TestLedger_ForgetsWhatNoGuardAsksAbout(t *testing.T) {
	h := newHistory()
	for _, fp := range []string{"long", "short"} {
		h.firing(at(0), "e-"+fp, fp, at(0), ledger.CauseWebhook)
		h.worked(at(0), "e-"+fp, "P", "r-"+fp, "docker:local/"+fp, "escalated")
	}
	h.resolved(at(3*minute), "e-short", "short", at(0), at(3*minute), ledger.CauseWebhook)
	for range 3000 {
		h.add(at(9*24*time.Hour), audit.Record{Type: audit.UpstreamChanged})
	}
	_, ok := h.l.Remediation("r-short")
	require.False(t, ok)
	_, ok = h.l.Episode("e-short")
	require.False(t, ok)
	_, ok = h.l.Latest("short")
	require.False(t, ok)
	require.Empty(t, h.l.View(ledger.Live).Effects("", "", time.Time{}))

	_, ok = h.l.View(ledger.Live).Final("P", "e-long")
	require.True(t, ok, "an alert that fires for weeks keeps its attempts and its end")
	require.Equal(t, 1, h.l.View(ledger.Live).Attempts("P", "e-long", ""))
}
