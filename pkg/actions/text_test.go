package actions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

func sampleScope() actions.Scope {
	return actions.Scope{
		Alert: template.Alert{
			Status: "firing", Labels: template.KV{"job": "api", "evil": "{{ .Labels.job }}", "Steps": "s"},
			Annotations: template.KV{"summary": "down"}, StartsAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Fingerprint: "fp", GeneratorURL: "http://prom",
		},
		Policy: "RB-1", Severity: "P2", Runbook: "RB", Remediation: "r-1",
		Steps: map[string]actions.Result{
			"gap":  {OK: true, Text: "two rows", Outputs: map[string]any{"rows": 2, "ok": "not this one", "deep": map[string]any{"a": "b"}}},
			"bad":  {Unknown: true, Text: "no answer"},
			"over": {Skipped: true, Text: "not run"},
		},
	}
}

func TestText_RendersTheAlertAndEarlierSteps(t *testing.T) {
	for raw, want := range map[string]string{
		"plain": "plain",
		"{{ .Status }} {{ .Labels.job }} {{ .Annotations.summary }}":                          "firing api down",
		"{{ .StartsAt.Year }} {{ .Fingerprint }} {{ .GeneratorURL }}":                         "2026 fp http://prom",
		"{{ .Policy }} {{ .Severity }} {{ .Runbook }} {{ .Remediation }}":                     "RB-1 P2 RB r-1",
		"{{ .Steps.gap.rows }} {{ .Steps.gap.ok }} {{ .Steps.gap.text }}":                     "2 true two rows",
		`{{ index .Steps "gap" "rows" }}|{{ (index .Steps "gap").rows }}`:                     "2|2",
		"{{ with .Steps.gap }}{{ .rows }}{{ end }}{{ range .Labels.Names }}{{ . }} {{ end }}": "2Steps evil job ",
		"{{ $g := .Steps.gap }}{{ $g.deep.a }} {{ $.Labels.job | toUpper }}":                  "b API",
		"{{ .Labels.missing }}|{{ .Labels.Steps }}":                                           "|s",
		`{{ define "x" }}{{ .Steps.gap.rows }}{{ end }}{{ template "x" . }}`:                  "2",
		"{{ .Labels.evil }}": "{{ .Labels.job }}",
		`{{ if eq .Labels.job "api" }}yes{{ else }}{{ .Labels.job }}{{ end }} {{ .Labels.Remove nil | len }}`: "yes 3",
	} {
		x, err := actions.NewText(raw)
		require.NoError(t, err, raw)
		got, err := x.Render(sampleScope())
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
		require.Equal(t, !strings.Contains(raw, "{{"), x.IsStatic(), raw)
	}
}

func TestText_NeedsAreFoundWhereverTheyStand(t *testing.T) {
	for raw, want := range map[string][]string{
		"{{ .Labels.job }}": nil,
		"{{ .Steps.b.rows }}{{ if .Steps.a.ok }}{{ end }}":                               {"a", "b"},
		"{{ range .Steps.a.lines }}{{ $.Steps.b.x }}{{ else }}{{ .Steps.c.x }}{{ end }}": {"a", "b", "c"},
		`{{ printf "%v" (index .Steps "a").rows | toUpper }}`:                            {"a"},
		`{{ define "t" }}{{ .Steps.a.x }}{{ end }}x`:                                     {"a"},
		"{{ $r := .Steps.a }}{{ $r.rows }}":                                              {"a"},
	} {
		x, err := actions.NewText(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, x.Needs(), raw)
	}
}

func TestText_AMissingAnswerIsAnErrorAndNeverNoValue(t *testing.T) {
	for raw, want := range map[string]string{
		"{{ .Steps.bad.rows }}":                        `step "bad" is unknown: no answer`,
		"{{ .Steps.over.rows }}":                       `step "over" was skipped: not run`,
		"{{ .Steps.none.rows }}":                       `step "none" has not run`,
		"{{ .Steps.gap.nope }}":                        `step "gap" has no field "nope" (it has deep, ok, rows, text, unknown)`,
		"{{ .Steps.gap.deep.nope }}":                   "reads a value that is not there",
		"{{ if false }}{{ .Steps.bad.rows }}{{ end }}": `step "bad" is unknown`,
	} {
		x, err := actions.NewText(raw)
		require.NoError(t, err, raw)
		got, err := x.Render(sampleScope())
		require.ErrorContains(t, err, want, raw)
		require.Equal(t, actions.CodeUnknownInput, actions.CodeOf(err), raw)
		require.Empty(t, got)
	}
	x, err := actions.NewText("{{ toJson . }}")
	require.NoError(t, err)
	got, err := x.Render(sampleScope())
	require.NoError(t, err)
	require.NotContains(t, got, "two rows", "steps that a template does not name are not in it")
}

func TestText_OutputIsBounded(t *testing.T) {
	x, err := actions.NewText("{{ range 100000 }}{{ $.Labels.job }}{{ end }}")
	require.NoError(t, err)
	_, err = x.Render(sampleScope())
	require.ErrorContains(t, err, "more than 65536 bytes")
}

func TestText_MistakesAreFoundAtLoadWithTheirPlace(t *testing.T) {
	for raw, want := range map[string]string{
		"{{ .Labels.job":                         "unclosed action",
		"{{ nope }}":                             `function "nope" not defined`,
		`{{ routeLabels "a" }}`:                  `function "routeLabels" not defined`,
		"{{ .Lables.job }}":                      `there is no .Lables: did you mean "Labels"?`,
		"{{ $.Lables.job }}":                     `there is no .Lables: did you mean "Labels"?`,
		"{{ range .Steps }}{{ . }}{{ end }}":     ".Steps must be followed by a step's id",
		"{{ index .Steps .Labels.job }}":         ".Steps must be followed by a step's id",
		"{{ toJson $.Steps }}":                   ".Steps must be followed by a step's id",
		"{{ range .Labels }}{{ $.Nope }}{{end}}": "there is no .Nope",
	} {
		var got struct {
			A actions.Text `yaml:"a"`
		}
		var n yaml.Node
		text, err := yaml.Marshal(map[string]string{"a": raw})
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &n))
		err = strictyaml.Decode(&n, &got)
		require.ErrorContains(t, err, want, raw)
		require.Regexp(t, "^1:4: bad template: ", err.Error())
	}
}

func TestText_AMistakeInAnExpandedValueQuotesNothingOfIt(t *testing.T) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "{{ hunter2secret }}", Style: strictyaml.Expanded}
	var x actions.Text
	err := x.UnmarshalYAML(n)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func FuzzText(f *testing.F) {
	f.Add("{{ .Labels.job }}", "x")
	f.Add("{{ .Steps.gap.rows }}", "{{ .Policy }}")
	f.Fuzz(func(t *testing.T, raw, label string) {
		if strings.Contains(raw, "range") || strings.Contains(raw, "printf") {
			return // unbounded work, the configuration's own doing
		}
		x, err := actions.NewText(raw)
		if err != nil {
			return
		}
		s := sampleScope()
		s.Alert.Labels["job"] = label
		got, err := x.Render(s)
		if err == nil && !x.IsStatic() {
			require.NotContains(t, got, "<no value>")
			require.LessOrEqual(t, len(got), actions.MaxText)
		}
	})
}
