package tell

import (
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
)

func decode(with string) (actions.Step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(with), &doc); err != nil {
		return nil, err
	}
	return Kinds([]string{"oncall", "platform-lead"})[0].Decode(doc.Content[0])
}

func TestEscalate_TellsTheReasonAndEnds(t *testing.T) {
	step, err := decode("{reason: '{{ .Labels.job }}: {{ .Steps.pg.text }}', to: [oncall]}")
	require.NoError(t, err)
	require.Equal(t, []string{"pg"}, step.Needs())
	s := actions.Scope{
		Alert: alert.Alert{Labels: template.KV{"job": "indexer"}},
		Steps: map[string]actions.Result{"pg": {Text: "database is down"}},
	}
	m, err := step.(actions.Teller).Tell(s)
	require.NoError(t, err)
	require.Equal(t, actions.Message{To: []string{"oncall"}, Text: "indexer: database is down", Ends: true}, m)
}

func TestEscalate_TellsPeopleWhateverIsUnknown(t *testing.T) {
	step, err := decode("{reason: 'database: {{ .Steps.pg.text }}'}")
	require.NoError(t, err)
	for _, steps := range []map[string]actions.Result{nil, {"pg": {Unknown: true}}, {"pg": {Skipped: true}}} {
		m, err := step.(actions.Teller).Tell(actions.Scope{Steps: steps})
		require.NoError(t, err)
		require.True(t, m.Ends)
		require.Empty(t, m.To, "the policy's own")
		require.Contains(t, m.Text, "database: ")
		require.Contains(t, m.Text, `step "pg"`)
	}
}

func TestEscalate_Mistakes(t *testing.T) {
	for with, want := range map[string]string{
		"{to: [oncall]}":                       "without a reason",
		"{reason: x, to: [onkall]}":            `did you mean "oncall"?`,
		"{reason: x, too: [oncall]}":           `did you mean "to"?`,
		"{reason: '{{ .Lables.job }}'}":        "Labels",
		"{reason: x, to: [oncall, lead-typo]}": "lead-typo",
	} {
		_, err := decode(with)
		require.ErrorContains(t, err, want, with)
		require.Regexp(t, `^1:\d+: `, err.Error(), with)
	}
}
