package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/policy"
)

const guarded = `
docker:
- {name: local, project: p, services: [api, db]}
upstreams:
- {name: stellar, statuspage: "https://status.stellar.org"}
- name: cloud
  statuspage: http://127.0.0.1:8080/cloud
  components: [API, EU/Compute]
  min_impact: critical
  maintenance: false
  interval: 5s
  stale_after: 10s
  unknown: allow
  ignore_monitoring_after: 0s
  resume_after: 0s
  max_suppression: 1d
time_intervals:
- name: nights
  time_intervals:
  - {times: [{start_time: "22:00", end_time: "24:00"}], location: America/New_York}
  - {times: [{start_time: "00:00", end_time: "06:00"}], location: America/New_York}
- {name: weekend, time_intervals: [{weekdays: ['saturday', 'sunday']}]}
defaults: {breaker: {failures: 5}}
guardrails:
- {name: prune-not-during-restore, actions: [docker.prune], suppress_while: {policy_running: restore}}
policies:
- name: api
  matchers: ['alertname="Down"']
  hold_on_failure: true
  guards:
    breaker: {open_for: 2h}
    for: 90s
    suppress_while: {upstream: stellar, alert: ['alertname="DbDown"', 'job=~"a|b"'], policy_running: restore}
    active_time_intervals: [weekend, nights]
    mute_time_intervals: []
    approval: {required: true, timeout: 10m}
  steps:
  - {uses: docker.restart, with: {service: api}, approval: true}
  - {uses: docker.restart, with: {service: api}, approval: {required: true, timeout: 1m}}
  - {uses: docker.restart, with: {service: api}, approval: false}
- {name: restore, manual: true, guards: {breaker: {failures: 0}}, steps: [{uses: diagnose}]}
- {name: also, manual: true, matchers: [], steps: [{uses: diagnose}]}
- {name: upstream, matchers: ['alertname="UpstreamIncident"', 'upstream="cloud"', 'impact="critical"'], steps: [{uses: diagnose}]}
`

func TestLoad_Upstreams(t *testing.T) {
	f := load(t, guarded)
	require.Equal(t, []config.Upstream{
		{
			Name: "stellar", StatusPage: "https://status.stellar.org", MinImpact: "minor", Maintenance: true, Unknown: config.UnknownSuppress,
			Interval: config.Duration(30 * time.Second), StaleAfter: config.Duration(3 * time.Minute),
			IgnoreMonitoringAfter: config.Duration(time.Hour), ResumeAfter: config.Duration(10 * time.Minute), MaxSuppression: config.Duration(6 * time.Hour),
		},
		{
			Name: "cloud", StatusPage: "http://127.0.0.1:8080/cloud", Components: []string{"API", "EU/Compute"}, MinImpact: "critical",
			Unknown: config.UnknownAllow, Interval: config.Duration(5 * time.Second), StaleAfter: config.Duration(10 * time.Second),
			MaxSuppression: config.Duration(24 * time.Hour),
		},
	}, f.Config.Upstreams)
}

func TestSettings_GuardsOfAPolicy(t *testing.T) {
	c := load(t, guarded).Config
	s := c.Settings(&c.Policies[0])
	require.Equal(t, 90*time.Second, s.For)
	require.Equal(t, policy.Breaker{Failures: 5, OpenFor: 2 * time.Hour}, s.Breaker, "each key by itself")
	require.Equal(t, policy.Approval{Required: true, Timeout: 10 * time.Minute}, s.Approval)
	require.Equal(t, "stellar", s.SuppressWhile.Upstream)
	require.Equal(t, "restore", s.SuppressWhile.PolicyRunning)
	require.Equal(t, `{alertname="DbDown",job=~"a|b"}`, s.SuppressWhile.Alert.String())
	require.Empty(t, s.Mute)
	require.Len(t, s.Active, 2)
	require.Equal(t, []string{"weekend", "nights"}, []string{s.Active[0].Name, s.Active[1].Name})
	night := s.Active[1].Times
	require.Len(t, night, 2)
	at := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC) // 23:00 in New York
	require.True(t, night[0].ContainsTime(at), "in its own time zone")
	require.False(t, night[1].ContainsTime(at))
	require.Equal(t, policy.Breaker{OpenFor: time.Hour}, c.Settings(&c.Policies[1]).Breaker, "switched off")
}

func TestSettings_ApprovalOfAStep(t *testing.T) {
	c := load(t, guarded).Config
	for i, want := range []policy.Approval{
		{Required: true, Timeout: 30 * time.Minute},
		{Required: true, Timeout: time.Minute},
		{Timeout: 30 * time.Minute},
	} {
		require.Equal(t, want, c.Policies[0].Steps[i].Approval.Settings())
	}
}

func TestPolicy_ManualAndHoldOnFailure(t *testing.T) {
	c := load(t, guarded).Config
	api, restore := c.Policy(&c.Policies[0]), c.Policy(&c.Policies[1])
	require.True(t, api.HoldOnFailure)
	require.False(t, api.Manual)
	require.True(t, restore.Manual)
	require.False(t, restore.HoldOnFailure)
	require.False(t, restore.Matches(map[string]string{"alertname": "Down"}))
}

// A manual policy matches no alert, so it keeps none from those after it.
func TestLoad_ManualPoliciesHideNone(t *testing.T) {
	load(t, `
policies:
- {name: by-hand, manual: true, matchers: ['alertname="Down"'], steps: [{uses: diagnose}]}
- {name: by-itself, matchers: ['alertname="Down"'], steps: [{uses: diagnose}]}
`)
}

func TestLoad_WarnsOfAnUpstreamThatNobodyUses(t *testing.T) {
	const text = "upstreams: [{name: stellar, statuspage: \"https://status.stellar.org\"}]\n"
	const warning = `upstream "stellar" is used by no suppress_while and no policy: it is watched for nothing`
	require.Contains(t, load(t, text).Warnings(), warning)
	for name, use := range map[string]string{
		"a guardrail":         "guardrails: [{name: g, actions: [docker.restart], suppress_while: {upstream: stellar}}]\n",
		"a policy's guard":    "policies: [{name: p, matchers: [a=b], guards: {suppress_while: {upstream: stellar}}, steps: [{uses: diagnose}]}]\n",
		"a policy's matchers": "policies: [{name: p, matchers: [alertname=UpstreamIncident, 'impact=~\"major|critical\"'], steps: [{uses: diagnose}]}]\n",
	} {
		t.Run(name, func(t *testing.T) { require.NotContains(t, load(t, text+use).Warnings(), warning) })
	}
	other := "policies: [{name: p, matchers: [alertname=UpstreamIncident, upstream=cloud], steps: [{uses: diagnose}]}]\n"
	require.Contains(t, load(t, text+other).Warnings(), warning)
}

func TestFile_UpstreamsAndGuardrailsFromTheEnvironmentAreNoSecrets(t *testing.T) {
	env := func(string) (string, bool) { return "https://status.example.org", true }
	f, err := config.Load(write(t, "upstreams: [{name: stellar, statuspage: \"${env:PAGE}\"}]\n"), config.Options{Env: env})
	require.NoError(t, err)
	require.Empty(t, f.Secrets())
}
