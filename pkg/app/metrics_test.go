package app_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetrics_PassPromtool(t *testing.T) {
	d := history(t)
	text := d.ok("/metrics")
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))

	require.Contains(t, text, `remediator_remediations_total{outcome="escalated",policy="api-down"} 4`)
	require.NotContains(t, text, "api-0", "no label of an alert becomes one of a metric")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		require.Regexp(t, `^(remediator|go|process|promhttp)_`, m[1])
	}
}
