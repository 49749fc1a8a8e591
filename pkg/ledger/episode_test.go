package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

const minute = time.Minute

func TestEpisode_EarlierStartContinuesLaterOpens(t *testing.T) {
	h := newHistory()
	h.firing(at(6*minute), "e-1", "fp", at(5*minute), ledger.CauseWebhook)
	h.firing(at(7*minute), "e-1", "fp", at(0), ledger.CauseMoved)

	e, ok := h.l.Latest("fp")
	require.True(t, ok)
	require.Equal(t, at(0), e.Alert.StartsAt, "moved back to the earliest start")
	require.Equal(t, at(5*minute), e.FirstStartsAt)
	require.True(t, e.Continues(at(0)))
	require.True(t, e.Continues(at(5*minute)), "the other Prometheus takes its turn again: no new episode")
	require.False(t, e.Continues(at(5*minute+1)))
}

func TestEpisode_ResolvedNeverSeenDoesNotHideTheOpenOne(t *testing.T) {
	h := newHistory()
	h.firing(at(60*minute), "e-1", "fp", at(60*minute), ledger.CauseWebhook)
	h.resolved(at(61*minute), "e-0", "fp", at(0), at(10*minute), ledger.CauseWebhook)

	e, _ := h.l.Latest("fp")
	require.Equal(t, "e-1", e.ID)
	require.True(t, e.Open)
	_, ok := h.l.Episode("e-0")
	require.True(t, ok, "it is remembered all the same")
}

func TestEpisode_ResolvedNeverSeenKeepsTheLineage(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.worked(at(1*minute), "e-1", "P", "r-1", "docker:local/a", "failed")
	h.resolved(at(5*minute), "e-1", "fp", at(0), at(4*minute), ledger.CauseWebhook)
	h.resolved(at(12*minute), "e-2", "fp", at(8*minute), at(11*minute), ledger.CauseWebhook)
	h.firing(at(25*minute), "e-3", "fp", at(25*minute), ledger.CauseWebhook)

	require.Equal(t, 1, h.l.View(ledger.Live).Attempts("P", "e-3", ""))
}

func TestEpisode_OnlyOneIsOpen(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.firing(at(10*minute), "e-2", "fp", at(9*minute), ledger.CauseWebhook) // without a record that ends e-1

	open := h.l.Episodes(true)
	require.Len(t, open, 1)
	require.Equal(t, "e-2", open[0].ID)
	old, _ := h.l.Episode("e-1")
	require.Equal(t, ledger.CauseSuperseded, old.Cause)
	require.Equal(t, at(10*minute), old.ClosedAt)
}

func TestEpisode_ReopensWithItsCounters(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.worked(at(1*minute), "e-1", "P", "r-1", "docker:local/a", "failed")
	h.resolved(at(5*minute), "e-1", "fp", at(0), at(5*minute), ledger.CauseAbsent)
	h.firing(at(3*time.Hour), "e-1", "fp", at(0), ledger.CauseWebhook)

	e, _ := h.l.Latest("fp")
	require.True(t, e.Open)
	require.Zero(t, e.ClosedAt)
	require.Empty(t, e.Cause)
	require.Equal(t, 1, h.l.View(ledger.Live).Attempts("P", "e-1", ""))
}

func TestEpisode_FlapCarriesAttemptsUntilResolvedForFifteenMinutes(t *testing.T) {
	for _, c := range []struct {
		name            string
		end, seen, next time.Duration
		carried         int
	}{
		{"fires again at once", 5 * minute, 5 * minute, 6 * minute, 1},
		{"a moment before", 5 * minute, 5 * minute, 20*minute - 1, 1},
		{"fifteen minutes", 5 * minute, 5 * minute, 20 * minute, 0},
		{"the end lies in the future", 10000 * time.Hour, 5 * minute, 21 * minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHistory()
			h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
			h.worked(at(1*minute), "e-1", "P", "r-1", "docker:local/a", "failed")
			h.resolved(at(c.seen), "e-1", "fp", at(0), at(c.end), ledger.CauseWebhook)
			h.firing(at(c.next), "e-2", "fp", at(c.next), ledger.CauseWebhook)
			require.Equal(t, c.carried, h.l.View(ledger.Live).Attempts("P", "e-2", ""))
		})
	}
}

func TestEpisode_SecondResolutionDoesNotMoveItsEnd(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.resolved(at(5*minute), "e-1", "fp", at(0), at(5*minute), ledger.CauseSilenced)
	h.resolved(at(9*minute), "e-1", "fp", at(0), at(5*minute), ledger.CauseWebhook)
	e, _ := h.l.Episode("e-1")
	require.Equal(t, at(5*minute), e.ClosedAt)
	require.Equal(t, ledger.CauseWebhook, e.Cause, "the webhook knows what the absence only suggested")
}

func TestEpisode_NotificationTouchesWhatItShowsFiring(t *testing.T) {
	h := newHistory()
	h.firing(at(5*minute), "e-1", "fp", at(5*minute), ledger.CauseWebhook)
	h.firing(at(6*minute), "e-1", "fp", at(0), ledger.CauseMoved)
	payload := func(status string, start time.Time) audit.Record {
		return audit.Record{Type: audit.NotificationReceived, Data: audit.JSON(map[string]any{
			"payload": map[string]any{"alerts": []any{anAlert("fp", status, start, time.Time{})}},
		})}
	}
	h.add(at(10*minute), payload(alert.Firing, at(5*minute)))
	e, _ := h.l.Latest("fp")
	require.Equal(t, at(10*minute), e.LastWebhook, "the later of two starts is word of it too")

	h.add(at(11*minute), payload(alert.Resolved, at(0)))
	h.add(at(12*minute), payload(alert.Firing, at(11*minute)))
	e, _ = h.l.Latest("fp")
	require.Equal(t, at(10*minute), e.LastWebhook, "neither a resolution nor another episode is")
}

func TestEpisode_ReconciledIsNoWebhook(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.firing(at(9*minute), "e-1", "fp", at(0), ledger.CauseReconciled)
	e, _ := h.l.Latest("fp")
	require.Equal(t, at(0), e.LastWebhook)
}

func TestEpisode_EscalationsAreSharedByTheLineage(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.add(at(1*minute), audit.Record{Type: audit.EscalationSent, Episode: "e-1", Policy: "P"})
	h.resolved(at(2*minute), "e-1", "fp", at(0), at(2*minute), ledger.CauseWebhook)
	h.firing(at(3*minute), "e-2", "fp", at(3*minute), ledger.CauseWebhook)
	h.firing(at(60*minute), "e-9", "other", at(60*minute), ledger.CauseWebhook)
	e, _ := h.l.Episode("e-2")
	require.True(t, e.Escalated["P"])
	e, _ = h.l.Episode("e-9")
	require.Empty(t, e.Escalated)
}

func TestEpisode_AskingForConsentIsNoEscalation(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.add(at(1*minute), audit.Record{Type: audit.EscalationSent, Episode: "e-1", Policy: "P", Reason: &audit.Reason{Code: "approval"}})
	e, _ := h.l.Episode("e-1")
	require.Empty(t, e.Escalated)
	h.add(at(2*minute), audit.Record{Type: audit.EscalationSent, Episode: "e-1", Policy: "P", Reason: &audit.Reason{Code: "escalated"}})
	e, _ = h.l.Episode("e-1")
	require.True(t, e.Escalated["P"])
}

func TestLedger_UnprocessedUntilItsAlertsAreRecorded(t *testing.T) {
	h := newHistory()
	for range 3 {
		h.add(at(0), audit.Record{Type: audit.NotificationReceived, Data: audit.JSON(map[string]any{"payload": map[string]any{}})})
	}
	require.Len(t, h.l.Unprocessed(), 3)
	h.add(at(1), audit.Record{
		Type: audit.AlertFiring, Episode: "e-1", Alert: anAlert("fp", alert.Firing, at(0), time.Time{}),
		Data: audit.JSON(ledger.AlertData{Notification: 2, Cause: ledger.CauseWebhook}),
	})
	left := h.l.Unprocessed()
	require.Len(t, left, 1)
	require.EqualValues(t, 3, left[0].Seq, "records of one notification are one append: those up to it are done")
	h.l.Processed(3)
	require.Empty(t, h.l.Unprocessed())
}
