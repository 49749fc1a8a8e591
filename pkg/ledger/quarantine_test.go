package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

func (h *history) quarantined(t time.Time, rem, mode string, targets ...string) {
	h.add(t, audit.Record{
		Type: audit.RemediationClosed, Remediation: rem, Policy: "P", Outcome: "failed", Mode: mode,
		Reason: &audit.Reason{Code: "failed", Text: "the container never came up"},
		Data:   audit.JSON(ledger.ClosedData{Quarantined: targets}),
	})
}

func TestQuarantine_UntilAPersonClearsIt(t *testing.T) {
	const other = "docker:local/b"
	h := newHistory()
	v := h.l.View(ledger.Live)
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target, other)
	h.quarantined(at(1*minute), "r-1", ledger.Live, other, target)
	want := ledger.Quarantine{
		Target: target, Remediation: "r-1", Policy: "P", Since: at(1 * minute),
		Text: "remediation r-1 of policy P ended failed: the container never came up",
	}
	got, ok := v.Quarantined(target)
	require.True(t, ok)
	require.Equal(t, want, got)
	list := h.l.Quarantines()
	require.Len(t, list, 2)
	require.Equal(t, []string{target, other}, []string{list[0].Target, list[1].Target}, "by target")
	rem, _ := h.l.Remediation("r-1")
	require.Equal(t, []string{other, target}, rem.Quarantined)

	h.wait(9 * 24 * time.Hour)
	_, ok = h.l.Remediation("r-1")
	require.False(t, ok)
	_, ok = v.Quarantined(target)
	require.True(t, ok, "it is never forgotten")

	clearTarget := func() { h.add(at(10*24*time.Hour), audit.Record{Type: audit.ControlCleared, Target: target}) }
	clearTarget()
	_, ok = v.Quarantined(target)
	require.False(t, ok)
	_, ok = v.Quarantined(other)
	require.True(t, ok, "each by itself")

	h.decided(at(10*24*time.Hour), "e-1", "P", "r-2", "allowed", ledger.Live, target)
	h.quarantined(at(10*24*time.Hour), "r-2", ledger.Live, target)
	got, ok = v.Quarantined(target)
	require.True(t, ok, "again")
	require.Equal(t, "r-2", got.Remediation)
	before, _ := h.l.Remediation("r-2")
	clearTarget()
	rem, _ = h.l.Remediation("r-2")
	require.Empty(t, rem.Quarantined)
	require.Equal(t, []string{target}, before.Quarantined, "an answer is the caller's own")
}

func TestQuarantine_OfAnUnknownRemediationHolds(t *testing.T) {
	h := newHistory()
	h.quarantined(at(0), "r-gone", ledger.Live, target)
	q, ok := h.l.View(ledger.Live).Quarantined(target)
	require.True(t, ok)
	require.Equal(t, "P", q.Policy)
}

func TestQuarantine_TheFirstStands(t *testing.T) {
	h := newHistory()
	h.quarantined(at(1000*time.Hour), "r-1", ledger.Live, target)
	h.quarantined(at(1001*time.Hour), "r-2", ledger.Live, target)
	h.l.Clock(at(0))
	q, _ := h.l.View(ledger.Live).Quarantined(target)
	require.Equal(t, "r-1", q.Remediation)
	require.Equal(t, at(0), q.Since, "never in the future")
}

func TestQuarantine_NoneFromARehearsal(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.DryRun, target)
	h.quarantined(at(0), "r-1", ledger.DryRun, target)
	require.Empty(t, h.l.Quarantines())
	rem, _ := h.l.Remediation("r-1")
	require.Empty(t, rem.Quarantined)
}
