package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

func (h *history) effect(t time.Time, rem, effect string) {
	h.add(t, audit.Record{Type: audit.RemediationEffect, Remediation: rem, Effect: effect})
}

func streak(h *history) ledger.Streak { return h.l.View(ledger.Live).Streak("P") }

func TestStreak_WhatARemediationMeans(t *testing.T) {
	end := at(2 * minute)
	for _, c := range []struct {
		outcome, effect string
		failures        int // after one failure before
		last            time.Time
		pending         string
	}{
		{"failed", "", 2, end, ""},
		{"failed", "effective", 2, end, ""},
		{"failed", "ineffective", 2, end, ""},
		{"interrupted", "", 2, end, ""},
		{"succeeded", "", 1, at(-minute), "r-1"},
		{"succeeded", "effective", 0, at(-minute), ""},
		{"succeeded", "unknown", 0, at(-minute), ""},
		{"succeeded", "ineffective", 2, at(10 * minute), ""},
		{"unverified", "", 1, at(-minute), "r-1"},
		{"unverified", "effective", 0, at(-minute), ""},
		{"unverified", "ineffective", 2, at(10 * minute), ""},
		{"partial", "", 1, at(-minute), ""},
		{"partial", "ineffective", 1, at(-minute), ""},
		{"partial", "effective", 1, at(-minute), ""},
		{"escalated", "ineffective", 1, at(-minute), ""},
		{"no_action", "", 1, at(-minute), ""},
		{"cancelled", "ineffective", 1, at(-minute), ""},
		{"expired", "", 1, at(-minute), ""},
		{"planned", "", 1, at(-minute), ""},
	} {
		t.Run(c.outcome+" "+c.effect, func(t *testing.T) {
			h := newHistory()
			h.worked(at(-3*minute), "e-0", "P", "r-0", target, "failed")
			h.worked(at(0), "e-1", "P", "r-1", target, c.outcome)
			if c.effect != "" {
				h.effect(at(10*minute), "r-1", c.effect)
			}
			require.Equal(t, ledger.Streak{Failures: c.failures, Last: c.last, Pending: c.pending}, streak(h))
			require.Equal(t, streak(h), h.l.View(ledger.DryRun).Streak("P"), "dry-run decisions ask about the same")
			require.Zero(t, h.l.View(ledger.Live).Streak("Q"), "per policy")
		})
	}
}

func TestStreak_NeitherRehearsalsNorGracefulStopsCount(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.DryRun, target)
	h.closed(at(1*minute), "r-1", "failed", ledger.DryRun, ledger.ClosedData{})
	h.decided(at(2*minute), "e-1", "P", "r-2", "allowed", ledger.Live, target)
	h.started(at(2*minute), "r-2", "P", target, 0)
	h.closed(at(3*minute), "r-2", "interrupted", ledger.Live, ledger.ClosedData{Shutdown: true})
	h.decided(at(4*minute), "e-1", "P", "r-3", "allowed", ledger.Live, target)
	h.closed(at(5*minute), "r-3", "succeeded", ledger.Live, ledger.ClosedData{}) // without an effect
	require.Zero(t, streak(h))
}

func TestStreak_InTheOrderInWhichResultsBecameKnown(t *testing.T) {
	h := newHistory()
	h.worked(at(0), "e-1", "P", "r-1", target, "succeeded")
	h.worked(at(10*minute), "e-2", "P", "r-2", target, "failed")
	require.Equal(t, ledger.Streak{Failures: 1, Last: at(12 * minute)}, streak(h), "r-1 was opened before the failure: no trial")

	h.effect(at(15*minute), "r-1", "effective")
	require.Equal(t, ledger.Streak{Last: at(12 * minute)}, streak(h))

	h.worked(at(20*minute), "e-3", "P", "r-3", target, "failed")
	h.worked(at(30*minute), "e-4", "P", "r-4", target, "succeeded")
	h.worked(at(40*minute), "e-5", "P", "r-5", target, "unverified")
	require.Equal(t, ledger.Streak{Failures: 1, Last: at(22 * minute), Pending: "r-5"}, streak(h))
	h.effect(at(50*minute), "r-5", "unknown")
	require.Equal(t, ledger.Streak{Last: at(22 * minute), Pending: "r-4"}, streak(h))
	h.effect(at(51*minute), "r-4", "ineffective")
	require.Equal(t, ledger.Streak{Failures: 1, Last: at(51 * minute)}, streak(h))
}

func TestStreak_PendingIsTheOneOpenedLast(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.decided(at(1*minute), "e-2", "P", "r-2", "allowed", ledger.Live, "docker:local/b")
	h.started(at(2*minute), "r-2", "P", "docker:local/b", 0)
	h.started(at(2*minute), "r-1", "P", target, 0)
	h.closed(at(3*minute), "r-2", "succeeded", ledger.Live, ledger.ClosedData{})
	h.closed(at(4*minute), "r-1", "succeeded", ledger.Live, ledger.ClosedData{})
	require.Equal(t, "r-2", streak(h).Pending)
}

func TestStreak_WhatEndsWellAfterAFailureIsATrialOnlyIfItBeganAfterIt(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(0), "r-1", "P", target, 0)
	h.worked(at(1*minute), "e-2", "P", "r-2", "docker:local/b", "failed")
	h.closed(at(5*minute), "r-1", "succeeded", ledger.Live, ledger.ClosedData{})
	require.Equal(t, ledger.Streak{Failures: 1, Last: at(3 * minute)}, streak(h))
	h.effect(at(6*minute), "r-1", "effective")
	require.Equal(t, ledger.Streak{Last: at(3 * minute)}, streak(h), "its result counts all the same")
}

func TestStreak_TheFirstResultStands(t *testing.T) {
	h := newHistory()
	h.worked(at(0), "e-1", "P", "r-1", target, "succeeded")
	h.effect(at(10*minute), "r-1", "unknown")
	h.effect(at(20*minute), "r-1", "ineffective")
	require.Zero(t, streak(h))
}

func TestStreak_SurvivesAClockSetBack(t *testing.T) {
	h := newHistory()
	h.worked(at(1000*time.Hour), "e-1", "P", "r-1", target, "failed") // the clock was wrong
	h.worked(at(1001*time.Hour), "e-2", "P", "r-2", target, "succeeded")
	h.l.Clock(at(5 * minute)) // it was set right
	require.Equal(t, ledger.Streak{Failures: 1, Last: at(5 * minute), Pending: "r-2"}, streak(h),
		"a wait ends its own length from now, and the trial is still a trial")
}

func TestStreak_SurvivesForgetting(t *testing.T) {
	h := newHistory()
	h.worked(at(0), "e-1", "P", "r-1", target, "failed")
	h.worked(at(10*minute), "e-1", "P", "r-2", target, "failed")
	h.worked(at(20*minute), "e-1", "P", "r-3", target, "succeeded")
	h.wait(9 * 24 * time.Hour)
	_, ok := h.l.Remediation("r-1")
	require.False(t, ok)
	require.Equal(t, ledger.Streak{Failures: 2, Last: at(12 * minute)}, streak(h), "whether r-3 helped nobody will ever say")
	h.worked(at(9*24*time.Hour), "e-1", "P", "r-4", target, "failed")
	require.Equal(t, 3, streak(h).Failures)
}
