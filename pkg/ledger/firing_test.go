package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

func anyLabels(map[string]string) bool { return true }

func TestView_FiringWhereIsTheEarliestThatMatches(t *testing.T) {
	h := newHistory()
	v := h.l.View(ledger.Live)
	_, ok := v.FiringWhere("", anyLabels)
	require.False(t, ok)

	h.firing(at(0), "e-1", "late", at(-1*minute), ledger.CauseWebhook)
	h.firing(at(1*minute), "e-2", "early", at(-5*minute), ledger.CauseWebhook)
	h.firing(at(2*minute), "e-3", "early too", at(-5*minute), ledger.CauseWebhook)
	mine := anAlert("mine", alert.Firing, at(-60*minute), at(-60*minute))
	mine.Labels["source"] = "remediator"
	h.add(at(3*minute), audit.Record{Type: audit.AlertFiring, Episode: "e-4", Alert: mine, Data: audit.JSON(ledger.AlertData{})})
	h.firing(at(4*minute), "e-5", "over", at(-30*minute), ledger.CauseWebhook)
	h.resolved(at(5*minute), "e-5", "over", at(-30*minute), at(5*minute), ledger.CauseWebhook)
	require.Equal(t, 4, h.l.OpenEpisodes())

	got := func(except string, match func(map[string]string) bool) string {
		e, _ := v.FiringWhere(except, match)
		return e.ID
	}
	named := func(name string) func(map[string]string) bool {
		return func(l map[string]string) bool { return l["alertname"] == name }
	}
	require.Equal(t, "e-2", got("", anyLabels), "of equal ones always the same")
	require.Equal(t, "e-3", got("e-2", anyLabels))
	require.Equal(t, "e-1", got("", named("late")))
	require.Empty(t, got("e-1", named("late")))
	require.Empty(t, got("", named("mine")), "own alerts are about an outage and are none")
	require.Empty(t, got("", named("over")))

	h.firing(at(6*minute), "e-1", "late", at(-10*minute), ledger.CauseMoved)
	require.Equal(t, "e-1", got("", anyLabels), "it was moved back")
	h.firing(at(7*minute), "e-5", "over", at(-30*minute), ledger.CauseReconciled)
	require.Equal(t, "e-5", got("", anyLabels), "it was reopened")
	h.firing(at(8*minute), "e-6", "over", at(8*minute), ledger.CauseWebhook)
	require.Equal(t, "e-1", got("", anyLabels), "the next one took its place")
	require.Equal(t, 5, h.l.OpenEpisodes())

	e, _ := v.FiringWhere("", anyLabels)
	e.Decided["P"] = ledger.Decided{}
	again, _ := v.FiringWhere("", anyLabels)
	require.Empty(t, again.Decided, "an answer is the caller's own")
}

func TestEpisode_OriginIsOfItsOpening(t *testing.T) {
	h := newHistory()
	fire := func(ep, actor string, d ledger.AlertData) ledger.Episode {
		h.add(at(0), audit.Record{
			Type: audit.AlertFiring, Episode: ep, Actor: actor, Data: audit.JSON(d), Alert: anAlert(ep, alert.Firing, at(0), at(0)),
		})
		e, ok := h.l.Episode(ep)
		require.True(t, ok)
		return e
	}
	run := ledger.AlertData{Cause: ledger.CauseRun, Origin: ledger.OriginRun, Policy: "P"}

	e := fire("e-1", "user:alice", run)
	require.Equal(t, []string{ledger.OriginRun, "P", "user:alice"}, []string{e.Origin, e.Policy, e.Actor})
	e = fire("e-1", "user:bob", ledger.AlertData{Origin: ledger.OriginUpstream, Policy: "Q"})
	require.Equal(t, []string{ledger.OriginRun, "P", "user:alice"}, []string{e.Origin, e.Policy, e.Actor})

	e = fire("e-2", "system", ledger.AlertData{Cause: ledger.CauseWebhook})
	require.Equal(t, []string{ledger.OriginWebhook, "", ""}, []string{e.Origin, e.Policy, e.Actor})
	e = fire("e-2", "user:alice", run)
	require.Equal(t, []string{ledger.OriginWebhook, "", ""}, []string{e.Origin, e.Policy, e.Actor}, "an episode keeps its origin")

	e = fire("e-3", "system", ledger.AlertData{Cause: ledger.CauseUpstream, Origin: ledger.OriginUpstream})
	require.Equal(t, ledger.OriginUpstream, e.Origin)
}
