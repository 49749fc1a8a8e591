package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/metrics"
)

var at = time.Unix(1_700_000_000, 0)

// filled has every metric at least once.
func filled(t *testing.T) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg)
	m.Decided("api-down", "execute", "allowed")
	m.Closed("api-down", "succeeded", 3*time.Second)
	m.Step("docker.restart", "ok", time.Second)
	m.Effect("api-down", "effective")
	m.Committed([]*audit.Record{{Type: audit.StepStarted, Replica: "r1", Seq: 7, Hash: "aa"}})
	m.Loaded(true, "cafe", "live", at)
	return m, reg
}

func TestMetrics_PassPrometheusLinter(t *testing.T) {
	_, reg := filled(t)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Each label is named here, so that one that an alert could fill with anything is
// not added without thought.
func TestMetrics_NamesAndLabelsAreBounded(t *testing.T) {
	bounded := map[string]string{
		"policy": "of the file", "verdict": "constants", "reason": "constants", "outcome": "constants", "uses": "the registry",
		"effect": "constants", "type": "constants", "hash": "one at a time", "mode": "constants", "replica": "one",
	}
	_, reg := filled(t)
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, families, 12)
	for _, f := range families {
		require.True(t, strings.HasPrefix(f.GetName(), "remediator_"), f.GetName())
		require.NotEmpty(t, f.GetHelp(), f.GetName())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				require.Contains(t, bounded, l.GetName(), f.GetName())
			}
		}
	}
}

func TestMetrics_HeadMovesAndLeavesNothingBehind(t *testing.T) {
	m, reg := filled(t)
	m.Committed([]*audit.Record{{Type: audit.StepFinished, Replica: "r1", Seq: 8, Hash: "bb"}, {Type: audit.RemediationClosed, Replica: "r1", Seq: 9, Hash: "cc"}})
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP remediator_audit_head_info Replica and hash of the newest audit record, so that a cut tail shows; always 1.
# TYPE remediator_audit_head_info gauge
remediator_audit_head_info{hash="cc",replica="r1"} 1
# HELP remediator_audit_head_seq Sequence number of the newest audit record.
# TYPE remediator_audit_head_seq gauge
remediator_audit_head_seq 9
# HELP remediator_audit_records_total Audit records by type.
# TYPE remediator_audit_records_total counter
remediator_audit_records_total{type="remediation.closed"} 1
remediator_audit_records_total{type="step.finished"} 1
remediator_audit_records_total{type="step.started"} 1
`), "remediator_audit_head_info", "remediator_audit_head_seq", "remediator_audit_records_total"))
}

func TestMetrics_RefusedConfigurationKeepsTheOneInForce(t *testing.T) {
	m, reg := filled(t)
	m.Loaded(false, "", "", at.Add(time.Hour))
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP remediator_config_info The configuration in force; always 1.
# TYPE remediator_config_info gauge
remediator_config_info{hash="cafe",mode="live"} 1
# HELP remediator_config_last_reload_success_timestamp_seconds Time of the last successful load of the configuration.
# TYPE remediator_config_last_reload_success_timestamp_seconds gauge
remediator_config_last_reload_success_timestamp_seconds 1.7e+09
# HELP remediator_config_last_reload_successful 1 when the last attempt to load the configuration succeeded.
# TYPE remediator_config_last_reload_successful gauge
remediator_config_last_reload_successful 0
`), "remediator_config_info", "remediator_config_last_reload_success_timestamp_seconds", "remediator_config_last_reload_successful"))

	m.Loaded(true, "beef", "dry-run", at)
	require.Equal(t, 1, testutil.CollectAndCount(reg, "remediator_config_info"), "one configuration is in force")
}
