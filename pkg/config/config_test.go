package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/config/configtest"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func load(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Load(write(t, text), config.Options{Env: configtest.Env})
	require.NoError(t, err)
	return f
}

const small = `
docker:
- {name: local, project: p, services: [api, db], depends_on: {api: [db]}}
policies:
- name: api
  matchers: ['alertname="Down"', 'job="api"']
  confirm: []
  steps: [{uses: docker.restart, with: {service: api}}]
`

func TestLoad_FillsInDefaults(t *testing.T) {
	f := load(t, small)
	c := f.Config
	require.Equal(t, policy.DryRun, c.Mode)
	require.Equal(t, filepath.Join(filepath.Dir(f.Path), "data/remediator.db"), c.Storage.Path)
	require.Equal(t, config.DefaultHost, c.Docker[0].Host)
	require.Equal(t, config.BlastRadius{MaxConcurrent: 1, MaxUnhealthy: 3}, c.BlastRadius)
	require.Equal(t, config.Flap{Changes: 4, Within: config.Duration(time.Hour), Clear: config.Duration(15 * time.Minute)}, c.Flap)
	require.Equal(t, config.Storm{Episodes: 50, Within: config.Duration(time.Minute), Clear: config.Duration(5 * time.Minute)}, c.Storm)
	require.Equal(t, []policy.Limit{{Max: 10, Per: time.Hour}}, config.Limits(c.GlobalLimits))
	p := c.Policies[0]
	require.NotNil(t, p.Confirm, "confirm: [] is not the same as none")
	require.Nil(t, p.Verify)
	require.Equal(t, "end", p.Steps[0].OnRefused)
	require.Equal(t, "ok", p.Steps[0].Expect)
	require.Equal(t, 8, p.Steps[0].Node.Line)
	require.Equal(t, yaml.MappingNode, p.Steps[0].With.Kind)
	require.Equal(t, policy.Settings{
		Cooldown: 10 * time.Minute, Settle: 15 * time.Minute, Attempts: 2,
		Limits:      []policy.Limit{{Max: 3, Per: time.Hour}, {Max: 7, Per: 24 * time.Hour}},
		MaxAlertAge: 4 * time.Hour, Deadline: 15 * time.Minute,
		Breaker: policy.Breaker{Failures: 3, OpenFor: time.Hour}, Approval: policy.Approval{Timeout: 30 * time.Minute},
	}, c.Policy(&p).Settings)
	require.Equal(t, "P4", p.Severity)
	require.Equal(t, "firing", p.On)
	require.Regexp(t, "^[0-9a-f]{64}$", f.Hash())
	require.Equal(t, []string{"alertmanager.url is not set: whether an alert still fires is not asked, confirm decides alone"}, f.Warnings())
}

func TestLoad_PolicyGuardsOverrideDefaults(t *testing.T) {
	f := load(t, "defaults: {cooldown: 1m, attempts: 5}"+small+`  guards: {cooldown: 0s, limits: [], deadline: 1d}
`)
	s := f.Config.Settings(&f.Config.Policies[0])
	require.Equal(t, time.Duration(0), s.Cooldown)
	require.Equal(t, 5, s.Attempts)
	require.Empty(t, s.Limits)
	require.Equal(t, 24*time.Hour, s.Deadline)
	require.Equal(t, 15*time.Minute, s.Settle)
	require.Contains(t, f.Warnings(), `policy "api": guards.limits is empty: nothing bounds how often it acts on a target`)
}

func TestLoad_ExpandsValuesAndRemembersSecrets(t *testing.T) {
	env := map[string]string{"TOKEN": "sesame-open", "DSN": "http://u:pass-word@h/", "N": "3", "EMPTY": ""}
	path := write(t, `
audit: {key: "${file:audit.key}"}
replica: a${env:N}-${env:UNSET:-b}${env:EMPTY:-c}
defaults: {attempts: "${env:N}", cooldown: "${env:COOL:-5m}"}
http:
- {name: x, url: "http://h", bearer: "${env:TOKEN}"}
- {name: y, url: "http://h/$${env:TOKEN}", bearer: "$${env:TOKEN} $ {} ${env:DSN}"}
alertmanager: {url: "http://am:9093", authorization: {credentials_file: am.token}}
`)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "audit.key"), []byte("key-of-file\n\n"), 0o600))
	f, err := config.Load(path, config.Options{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	require.NoError(t, err)
	c := f.Config
	require.Equal(t, "key-of-file\n", c.Audit.Key, "one newline is cut")
	require.Equal(t, "a3-bc", c.Replica)
	require.Equal(t, 3, *c.Defaults.Attempts)
	require.Equal(t, "5m", c.Defaults.Cooldown.String())
	require.Equal(t, "sesame-open", c.HTTP[0].Bearer)
	require.Equal(t, "http://h/${env:TOKEN}", c.HTTP[1].URL)
	require.Equal(t, "${env:TOKEN} $ {} http://u:pass-word@h/", c.HTTP[1].Bearer)
	require.Equal(t, filepath.Join(filepath.Dir(path), "am.token"), c.Alertmanager.HTTP.Authorization.CredentialsFile)
	require.True(t, c.Alertmanager.HTTP.FollowRedirects, "Prometheus' own defaults")
	require.ElementsMatch(t, []string{"http://u:pass-word@h/", "key-of-file\n", "sesame-open", "pass-word"}, f.Secrets())
	require.Len(t, f.Secrets()[0], 21, "longest first")
}

func TestFile_ReportsLaterMistakesWithTheirSource(t *testing.T) {
	f := load(t, small)
	require.NoError(t, f.Report(nil))
	with := f.Config.Policies[0].Steps[0].With
	err := f.Report(strictyaml.Mistakes{strictyaml.At(strictyaml.Child(with, "service"), "did you mean \"db\"?", "service %q is not declared", "api")})
	var r *config.Report
	require.ErrorAs(t, err, &r)
	require.Equal(t, f.Path+`:8:50: service "api" is not declared
    8 |   steps: [{uses: docker.restart, with: {service: api}}]
      |                                                  ^^^
      fix: did you mean "db"?

1 mistake in `+f.Path, r.Error())
}

func TestLoad_RefusesTheUnreadable(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), config.Options{})
	require.ErrorContains(t, err, "the configuration cannot be read: no such file or directory")
	big := make([]byte, config.MaxSize+1)
	for i := range big {
		big[i] = '#'
	}
	_, err = config.Load(write(t, string(big)), config.Options{})
	require.ErrorContains(t, err, "larger than 1 MiB")
	_, err = config.Load(t.TempDir(), config.Options{})
	require.ErrorContains(t, err, "is a directory")
}

func TestFile_ReportHoldsNoSecretWhoeverWroteTheMistake(t *testing.T) {
	f := load(t, "audit: {key: \"${env:SECRET}\"}\n")
	err := f.Report(strictyaml.Mistakes{{Line: 1, Column: 1, Message: "bad hunter2-secret\nx", Fix: "not hunter2-secret"}})
	require.NotContains(t, err.Error(), "hunter2")
	var ms strictyaml.Mistakes
	require.ErrorAs(t, err, &ms)
	require.Equal(t, "bad (withheld) x", ms[0].Message)
	require.Equal(t, "not (withheld)", ms[0].Fix)
}

func TestReport_ShowsAWindowOfALongLine(t *testing.T) {
	_, err := config.Load(write(t, "replica: {"+strings.Repeat("a: b, ", 100)+"}\nmdoe: x # "+strings.Repeat("long ", 100)), config.Options{})
	require.Error(t, err)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.Contains(line, " | ") {
			require.LessOrEqual(t, len([]rune(line)), 172)
		}
	}
}

func TestLoad_MasksSecretsWrittenIntoTheFile(t *testing.T) {
	_, err := config.Load(write(t, "http: [{nmae: x, url: \"http://u:swordfish@h\", bearer: swordfish}]\n"), config.Options{})
	require.ErrorContains(t, err, `unknown key "nmae"`)
	require.NotContains(t, err.Error(), "swordfish")
}

func TestFile_NamesFromTheEnvironmentAreNoSecrets(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"PROJECT": "escrow", "KEY": "swordfish", "SERVICE": "gateway"}[name]
		return v, ok
	}
	f, err := config.Load(write(t, `
docker: [{name: local, project: "${env:PROJECT}", services: ["${env:SERVICE}"]}]
http: [{name: api, service: gateway, url: "http://127.0.0.1:1", bearer: "${env:KEY}"}]
`), config.Options{Env: env})
	require.NoError(t, err)
	require.Equal(t, []string{"swordfish"}, f.Secrets())
}
