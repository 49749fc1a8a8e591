package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func (h *history) upstream(t time.Time, c upstream.Change) {
	h.add(t, audit.Record{Type: audit.UpstreamChanged, Data: audit.JSON(c)})
}

func TestView_UpstreamIsTheNewestChange(t *testing.T) {
	h := newHistory()
	v := h.l.View(ledger.DryRun)
	_, ok := v.Upstream("stellar")
	require.False(t, ok)

	bad := upstream.Change{
		Upstream: "stellar", State: upstream.Incident, Impact: upstream.ImpactMajor, Since: at(-minute), Text: "Horizon is down",
		Events: []upstream.Event{{Kind: "incident", Name: "Horizon", Status: "investigating", Impact: upstream.ImpactMajor}},
	}
	h.upstream(at(0), bad)
	h.upstream(at(1*minute), upstream.Change{Upstream: "other", State: upstream.Operational})
	got, ok := v.Upstream("stellar")
	require.True(t, ok)
	require.Equal(t, ledger.Upstream{Change: bad, Recorded: at(0)}, got)

	well := upstream.Change{Upstream: "stellar", State: upstream.Operational, Before: upstream.Incident, AfterIncident: true, Since: at(5 * minute)}
	h.upstream(at(5*minute), well)
	h.wait(20 * 24 * time.Hour)
	got, ok = v.Upstream("stellar")
	require.True(t, ok, "a page that has been well for weeks has left no record since")
	require.Equal(t, ledger.Upstream{Change: well, Recorded: at(5 * minute)}, got)
}

func TestView_UpstreamClampsTheFuture(t *testing.T) {
	h := newHistory()
	h.upstream(at(1000*time.Hour), upstream.Change{Upstream: "stellar", State: upstream.Incident, Since: at(999 * time.Hour)})
	h.l.Clock(at(0))
	got, _ := h.l.View(ledger.Live).Upstream("stellar")
	require.Equal(t, at(0), got.Recorded)
	require.Equal(t, at(0), got.Since)
}

func TestView_UpstreamThatCannotBeReadChangesNothing(t *testing.T) {
	h := newHistory()
	h.upstream(at(0), upstream.Change{Upstream: "stellar", State: upstream.Incident})
	h.add(at(1*minute), audit.Record{Type: audit.UpstreamChanged, Data: []byte(`[`)})
	h.upstream(at(2*minute), upstream.Change{State: upstream.Operational})
	got, _ := h.l.View(ledger.Live).Upstream("stellar")
	require.Equal(t, upstream.Incident, got.State)
	_, ok := h.l.View(ledger.Live).Upstream("")
	require.False(t, ok)
}
