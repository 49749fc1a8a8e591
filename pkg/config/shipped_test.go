package config_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

const shipped = "../../config.yaml"

func noEnv(string) (string, bool) { return "", false }

func TestLoad_TakesTheShippedFileOnAFreshMachine(t *testing.T) {
	f, err := config.Load(shipped, config.Options{Env: noEnv})
	require.NoError(t, err)
	require.Equal(t, policy.DryRun, f.Config.Mode, "the shipped file only looks")
	require.Empty(t, f.Warnings())
	require.Empty(t, f.Secrets())
	require.NotEmpty(t, f.Config.Policies)
	for i := range f.Config.Policies {
		p := &f.Config.Policies[i]
		require.NotEmpty(t, p.Escalate, "%s tells nobody", p.Name)
		require.NotEmpty(t, p.Severity, p.Name)
	}
}

// The indexer must ride out Stellar's incidents (RB-007), whichever policy asks.
func TestShippedFile_LeavesTheIndexerAloneWhileStellarHasAnIncident(t *testing.T) {
	f, err := config.Load(shipped, config.Options{Env: noEnv})
	require.NoError(t, err)
	i := slices.IndexFunc(f.Config.Guardrails, func(g config.Guardrail) bool { return g.Name == "indexer-rides-out-stellar-incidents" })
	require.GreaterOrEqual(t, i, 0)
	rail := f.Config.Guardrails[i]
	require.Equal(t, []string{"indexer"}, rail.Services)
	require.Equal(t, "stellar", rail.SuppressWhile.Settings().Upstream)
	up := f.Config.Upstreams[0]
	require.Equal(t, "stellar", up.Name)
	require.Equal(t, config.UnknownSuppress, up.Unknown)
	reads := []string{"docker.healthy", "docker.state", "docker.logs", "http.get"}
	touched := 0
	for i := range f.Config.Policies {
		p := &f.Config.Policies[i]
		for _, s := range append(slices.Clone(p.Steps), p.OnFailure...) {
			n := strictyaml.Child(s.With, "service")
			if n == nil || n.Value != "indexer" || slices.Contains(reads, s.Uses) {
				continue
			}
			touched++
			require.Contains(t, rail.Actions, s.Uses, "%s does to the indexer what no guardrail covers", p.Name)
			require.Equal(t, "stellar", p.Guards.SuppressWhile.Settings().Upstream, "%s decides without looking at Stellar", p.Name)
		}
	}
	require.Positive(t, touched, "no policy touches the indexer, so this test proves nothing")
}

// What the engine says when Stellar has an incident, and when it is over, reaches its policies.
func TestShippedFile_SpeaksOfStellarIncidents(t *testing.T) {
	f, err := config.Load(shipped, config.Options{Env: noEnv})
	require.NoError(t, err)
	var all []*policy.Policy
	for i := range f.Config.Policies {
		all = append(all, f.Config.Policy(&f.Config.Policies[i]))
	}
	set := policy.NewSet(all)
	labels := map[string]string{"alertname": "UpstreamIncident", "upstream": "stellar", "impact": "major"}
	for status, want := range map[string]struct {
		name string
		age  time.Duration
	}{policy.OnFiring: {"RB-007-stellar-incident", 15 * time.Minute}, policy.OnResolved: {"RB-007-stellar-recovered", 10 * time.Minute}} {
		got := set.Match(labels, status)
		require.Len(t, got, 1, status)
		require.Equal(t, want.name, got[0].Name)
		require.Equal(t, want.age, got[0].Settings.For)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{shipped, "testdata/mistakes/several-in-one-file.yaml", "testdata/mistakes/key-merge.yaml", "testdata/mistakes/docker-depends-cycle.yaml"} {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(data))
	}
	f.Add("upstreams: [{name: a, statuspage: \"http://h\", components: [a, a]}]\ntime_intervals: &t [{name: n, time_intervals: [{weekdays: [monday], times: [{start_time: 1, end_time: 2}]}]}]\nguardrails: [{name: g, services: [x], targets: *t, suppress_while: &s {alert: [a=b], upstream: a, policy_running: p}}]\npolicies: [{name: p, manual: true, guards: {suppress_while: *s, approval: {required: true}, mute_time_intervals: [n, n]}, steps: [{uses: x, approval: true}]}]")
	f.Add("docker: [{depends_on: {a: &x [b, [c]], d: *x}}]\npolicies: [{escalate: *x, any_matchers: [*x, *x]}]")
	f.Add("policies: &p [{name: x, steps: *p}]")
	f.Add("replica: \"${env:A:-${file:/etc/passwd}}$${\"")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := config.Load(write(t, text), config.Options{Env: func(n string) (string, bool) { return n, len(n)%2 == 0 }})
		if err != nil {
			require.NotEmpty(t, err.Error())
			require.Nil(t, file)
			return
		}
		_ = file.Warnings()
	})
}
