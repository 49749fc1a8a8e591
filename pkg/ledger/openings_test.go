package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/ledger"
)

func TestView_OpeningsCountWhatOpensAndReopens(t *testing.T) {
	h := newHistory()
	v := h.l.View(ledger.Live)
	require.Empty(t, v.Openings("fp"))

	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.firing(at(1*minute), "e-1", "fp", at(0), ledger.CauseReconciled) // open already
	h.firing(at(2*minute), "e-1", "fp", at(-minute), ledger.CauseMoved)
	h.firing(at(2*minute), "e-0", "moved", at(-minute), ledger.CauseMoved)
	require.Equal(t, []time.Time{at(0)}, v.Openings("fp"))
	require.Empty(t, v.Openings("moved"))

	h.resolved(at(3*minute), "e-1", "fp", at(0), at(3*minute), ledger.CauseAbsent)
	h.firing(at(4*minute), "e-1", "fp", at(0), ledger.CauseReconciled) // reopened
	require.Equal(t, []time.Time{at(0), at(4 * minute)}, v.Openings("fp"))

	h.resolved(at(5*minute), "e-1", "fp", at(0), at(5*minute), ledger.CauseSuperseded)
	h.firing(at(5*minute), "e-2", "fp", at(5*minute), ledger.CauseWebhook)
	h.firing(at(6*minute), "e-3", "fp", at(6*minute), ledger.CauseWebhook) // its end went unrecorded
	want := []time.Time{at(0), at(4 * minute), at(5 * minute), at(6 * minute)}
	require.Equal(t, want, v.Openings("fp"))

	h.firing(at(7*minute), "e-9", "other", at(7*minute), ledger.CauseWebhook)
	h.resolved(at(8*minute), "e-4", "third", at(7*minute), at(8*minute), ledger.CauseWebhook)
	require.Equal(t, want, v.Openings("fp"))
	require.Empty(t, v.Openings("third"), "one that was never seen firing never opened")
	v.Openings("fp")[0] = time.Time{}
	require.Equal(t, want, v.Openings("fp"), "an answer is the caller's own")
}

func TestView_OpeningsAreAtMostAHundred(t *testing.T) {
	h := newHistory()
	for i := range 120 {
		d := time.Duration(i) * minute
		h.firing(at(d), fmt.Sprintf("e-%d", i), "fp", at(d), ledger.CauseWebhook)
	}
	got := h.l.View(ledger.Live).Openings("fp")
	require.Len(t, got, 100)
	require.Equal(t, at(20*minute), got[0])
	require.Equal(t, at(119*minute), got[99])
}

func TestView_OpeningsClampAndAreForgotten(t *testing.T) {
	h := newHistory()
	h.firing(at(1000*time.Hour), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.l.Clock(at(0))
	require.Equal(t, []time.Time{at(0)}, h.l.View(ledger.Live).Openings("fp"))
	h.wait(9 * 24 * time.Hour)
	require.Empty(t, h.l.View(ledger.Live).Openings("fp"), "the episode is open and known, its opening long ago")
}
