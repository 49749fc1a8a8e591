package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

func TestView_OursWhileAnIntentIsUnderWay(t *testing.T) {
	const slack = 30 * time.Second
	const end = 11 * minute
	h := newHistory()
	v := h.l.View(ledger.Live)
	ours := func(d time.Duration) bool { return v.Ours(target, at(d), slack, "") }

	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(10*minute), "r-1", "P", target, 0)
	require.False(t, ours(10*minute-time.Second-1))
	require.True(t, ours(10*minute-time.Second), "clocks differ")
	require.True(t, ours(24*time.Hour), "it has not ended")

	h.finished(at(end), "r-1", "P", target, 0, false)
	require.False(t, ours(10*minute-time.Second-1))
	require.True(t, ours(10*minute))
	require.True(t, ours(end+slack))
	require.False(t, ours(end+slack+1))
	require.False(t, v.Ours("docker:local/b", at(end), slack, ""))
	require.False(t, v.Ours("", at(end), slack, ""), "nothing in particular is no target")

	h.worked(at(60*minute), "e-2", "P", "r-2", target, "failed")
	require.True(t, ours(end), "further back than the newest")
	h.wait(7 * 24 * time.Hour)
	require.True(t, ours(end), "as long as history is kept")
	h.wait(9 * 24 * time.Hour)
	require.False(t, ours(end))
}

func TestView_OursOnEveryTargetOfAnIntent(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.intent(at(1*minute), "r-1", target, "docker:local/b", "docker:local/b")
	require.True(t, h.l.View(ledger.Live).Ours("docker:local/b", at(1*minute), 0, ""))
}

func TestView_OursIsNeitherCancelledNorRehearsedNorLost(t *testing.T) {
	for name, c := range map[string]struct {
		mode     string
		after    func(h *history)
		ours     bool
		question time.Duration
	}{
		"under way":                        {mode: ledger.Live, ours: true, question: 5 * minute},
		"rehearsed":                        {mode: ledger.DryRun, question: 5 * minute},
		"cancelled":                        {mode: ledger.Live, after: func(h *history) { h.finished(at(6*minute), "r-1", "P", target, 0, true) }, question: 5 * minute},
		"closed without a result, before":  {mode: ledger.Live, after: closeFailed, ours: true, question: 2 * minute},
		"closed without a result, later":   {mode: ledger.Live, after: closeFailed, question: 6 * minute},
		"its result was lost, before":      {mode: ledger.Live, after: lose, ours: true, question: 2 * minute},
		"stopped while we were away":       {mode: ledger.Live, after: lose, question: 60 * minute},
		"closed without a result, a while": {mode: ledger.Live, after: closeFailed, question: 9 * minute},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory()
			h.decided(at(0), "e-1", "P", "r-1", "allowed", c.mode, target)
			h.started(at(1*minute), "r-1", "P", target, 0)
			if c.after != nil {
				c.after(h)
			}
			require.Equal(t, c.ours, h.l.View(ledger.Live).Ours(target, at(c.question), minute, ""))
		})
	}
}

// lose is what recovery records of an intent whose result nobody saw.
func lose(h *history) {
	step := 0
	h.add(at(121*minute), audit.Record{
		Type: audit.StepFinished, Remediation: "r-1", Policy: "P", Step: &step, Target: target, Error: "lost",
		Data: audit.JSON(ledger.StepData{Phase: "steps", Effect: true, Lost: true}),
	})
}

func closeFailed(h *history) {
	h.closed(at(7*minute), "r-1", "interrupted", ledger.Live, ledger.ClosedData{})
}

// An effect of many days is still under way after its start has left history.
func TestView_OursWhileItRunsHoweverLong(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(1*minute), "r-1", "P", target, 0)
	h.wait(9 * 24 * time.Hour)
	v := h.l.View(ledger.Live)
	require.True(t, v.Ours(target, at(9*24*time.Hour), 0, ""))
	h.finished(at(9*24*time.Hour), "r-1", "P", target, 0, false)
	last, ok := v.LastEffect(target, "")
	require.True(t, ok, "the cooldown knows of its end")
	require.Equal(t, at(9*24*time.Hour), last.Time)
}

func (h *history) stopSeen(t time.Time, stops ...ledger.StopSeen) {
	h.add(t, audit.Record{
		Type: audit.RemediationDecided, Episode: "e-1", Policy: "P", Verdict: "suppress",
		Reason: &audit.Reason{Code: "stopped_by_person"}, Data: audit.JSON(ledger.DecidedData{Stops: stops}),
	})
}

func TestView_PersonStoppedIsRemembered(t *testing.T) {
	seen := ledger.StopSeen{Target: target, Container: "c1", At: at(0)}
	h := newHistory()
	v := h.l.View(ledger.Live)
	require.False(t, v.PersonStopped(seen))
	h.stopSeen(at(1*minute), seen, ledger.StopSeen{Target: target, Container: "c2", At: at(0)})

	for name, c := range map[string]struct {
		stop ledger.StopSeen
		want bool
	}{
		"itself":            {seen, true},
		"the other one":     {ledger.StopSeen{Target: target, Container: "c2", At: at(0)}, true},
		"a second later":    {ledger.StopSeen{Target: target, Container: "c1", At: at(time.Second)}, true},
		"a second before":   {ledger.StopSeen{Target: target, Container: "c1", At: at(-time.Second)}, true},
		"another stop":      {ledger.StopSeen{Target: target, Container: "c1", At: at(time.Second + 1)}, false},
		"another container": {ledger.StopSeen{Target: target, Container: "c3", At: at(0)}, false},
		"another target":    {ledger.StopSeen{Target: "docker:local/b", Container: "c1", At: at(0)}, false},
	} {
		require.Equal(t, c.want, v.PersonStopped(c.stop), name)
	}
	h.wait(7 * 24 * time.Hour)
	h.stopSeen(at(7*24*time.Hour), seen)
	h.wait(9 * 24 * time.Hour)
	require.True(t, v.PersonStopped(seen), "it was seen again")
	require.False(t, v.PersonStopped(ledger.StopSeen{Target: target, Container: "c2", At: at(0)}))
	h.wait(16 * 24 * time.Hour)
	require.False(t, v.PersonStopped(seen))
}

func TestView_PersonStoppedKeepsDockersTimeWhenOurClockIsSetBack(t *testing.T) {
	seen := ledger.StopSeen{Target: target, Container: "c1", At: at(1000 * time.Hour)}
	h := newHistory()
	h.stopSeen(at(1000*time.Hour), seen)
	h.l.Clock(at(0))
	require.True(t, h.l.View(ledger.Live).PersonStopped(seen))
	h.wait(9 * 24 * time.Hour)
	require.False(t, h.l.View(ledger.Live).PersonStopped(seen), "it is forgotten a week after it was seen, as any other")
}
