package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/metrics"
)

func TestWatch_ShowsWhatIsGoingOn(t *testing.T) {
	reg := prometheus.NewRegistry()
	state := metrics.State{
		Remediations: map[string]int{"held": 1}, Waiting: 3, Quarantined: 2, Pauses: 1,
		Upstreams: map[string]metrics.UpstreamState{"stellar": {State: "incident", LastGood: time.Unix(100, 0)}},
	}
	metrics.Watch(reg, func() metrics.State { return state })
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP remediator_remediations Remediations that are not closed, by state.
# TYPE remediator_remediations gauge
remediator_remediations{state="awaiting_approval"} 0
remediator_remediations{state="held"} 1
remediator_remediations{state="queued"} 0
remediator_remediations{state="running"} 0
# HELP remediator_upstream_last_good_timestamp_seconds Time of the last good answer of an upstream's page.
# TYPE remediator_upstream_last_good_timestamp_seconds gauge
remediator_upstream_last_good_timestamp_seconds{upstream="stellar"} 100
# HELP remediator_upstream_state 1 for the state in which an upstream is.
# TYPE remediator_upstream_state gauge
remediator_upstream_state{state="incident",upstream="stellar"} 1
remediator_upstream_state{state="maintenance",upstream="stellar"} 0
remediator_upstream_state{state="operational",upstream="stellar"} 0
remediator_upstream_state{state="unknown",upstream="stellar"} 0
`), "remediator_remediations", "remediator_upstream_state", "remediator_upstream_last_good_timestamp_seconds"))
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
