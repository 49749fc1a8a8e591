package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/config/configtest"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// guardsOf compiles what guards need, without the rest of a configuration.
func guardsOf(t *testing.T, f *config.File) (*engine.Snapshot, *compiler, error) {
	t.Helper()
	engines, err := docker.New(dockerConfigs(f))
	require.NoError(t, err)
	t.Cleanup(func() { engines.Close() })
	snap := &engine.Snapshot{}
	registry, err := newRegistry(f, engines, snap)
	require.NoError(t, err)
	c := &compiler{registry: registry}
	c.guards(f, engines, snap)
	return snap, c, f.Report(c.found)
}

func loadText(t *testing.T, text string) *config.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	f, err := config.Load(path, config.Options{Env: configtest.Env})
	require.NoError(t, err)
	return f
}

const twoEngines = `
docker:
- {name: local, host: "unix:///nonexistent/a.sock", project: shop, services: [api, indexer]}
- {name: other, host: "unix:///nonexistent/b.sock", project: shop, services: [indexer]}
http:
- {name: pager, url: "http://127.0.0.1:9"}
upstreams:
- {name: stellar, statuspage: "https://status.stellar.org"}
`

func TestGuards_Guardrails(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		targets []string
		actions []string
	}{
		"a service is guarded on every engine that declares it": {
			"services: [indexer], actions: [docker.restart]",
			[]string{"docker:local/indexer", "docker:other/indexer"},
			[]string{"docker.restart"},
		},
		"targets are as given, once": {
			`services: [indexer], targets: ["docker:other/indexer", "http:pager"]`,
			[]string{"docker:other/indexer", "http:pager", "docker:local/indexer"},
			nil,
		},
		"actions alone are guarded on any target": {"actions: [docker.prune]", nil, []string{"docker.prune"}},
	} {
		t.Run(name, func(t *testing.T) {
			snap, _, err := guardsOf(t, loadText(t, twoEngines+"guardrails:\n- {name: g, "+c.text+", suppress_while: {upstream: stellar}}\n"))
			require.NoError(t, err)
			require.Equal(t, []policy.Guardrail{{
				Name: "g", Targets: c.targets, Actions: c.actions, SuppressWhile: policy.SuppressWhile{Upstream: "stellar"},
			}}, snap.Guardrails)
		})
	}
}

func TestGuards_FlapStormAndBlastRadius(t *testing.T) {
	snap, _, err := guardsOf(t, loadText(t, "mode: live\n"))
	require.NoError(t, err)
	require.Equal(t, policy.Flap{Changes: 4, Within: time.Hour, Clear: 15 * time.Minute}, snap.Flap)
	require.Equal(t, policy.Storm{Episodes: 50, Within: time.Minute, Clear: 5 * time.Minute}, snap.Storm)
	require.Equal(t, 3, snap.MaxUnhealthy)

	snap, _, err = guardsOf(t, loadText(t, "flap: {changes: 0}\nstorm: {episodes: 9, clear: 1h}\nblast_radius: {max_unhealthy: 7}\n"))
	require.NoError(t, err)
	require.Zero(t, snap.Flap.Changes)
	require.Equal(t, policy.Storm{Episodes: 9, Within: time.Minute, Clear: time.Hour}, snap.Storm)
	require.Equal(t, 7, snap.MaxUnhealthy)
}

func TestUpstreamConfigs_TakeEveryKey(t *testing.T) {
	require.Equal(t, []upstream.Config{
		{
			Name: "stellar", URL: "https://status.stellar.org", MinImpact: "minor", Maintenance: true,
			Interval: 30 * time.Second, StaleAfter: 3 * time.Minute, IgnoreMonitoringAfter: time.Hour,
			ResumeAfter: 10 * time.Minute, MaxSuppression: 6 * time.Hour,
		},
		{
			Name: "cloud", URL: "http://127.0.0.1:1/x", Components: []string{"A", "B/C"}, MinImpact: "major",
			Interval: 7 * time.Second, StaleAfter: 15 * time.Second, IgnoreMonitoringAfter: 2 * time.Minute,
			UnknownAllows: true, ResumeAfter: 4 * time.Minute, MaxSuppression: 5 * time.Minute,
		},
	}, upstreamConfigs(loadText(t, twoEngines+`- name: cloud
  statuspage: http://127.0.0.1:1/x
  components: [A, B/C]
  min_impact: major
  maintenance: false
  interval: 7s
  stale_after: 15s
  unknown: allow
  ignore_monitoring_after: 2m
  resume_after: 4m
  max_suppression: 5m
`)))
}

// The list of kinds that are still to come is kept by hand: a kind that is built
// leaves it, and one that nobody knows must not be in it.
func TestGuards_LaterKindsAreOfTheContractAndNotBuilt(t *testing.T) {
	_, c, err := guardsOf(t, loadText(t, twoEngines))
	require.NoError(t, err)
	for _, name := range laterChanges {
		_, built := c.registry.Lookup(name)
		require.False(t, built, "%s is built: take it out of laterChanges", name)
		require.True(t, actions.NotYet(name), name)
	}
}

func TestRunbook_TakesGuardsOfPolicyAndSteps(t *testing.T) {
	f := loadText(t, twoEngines+`
policies:
- name: api-down
  manual: true
  hold_on_failure: true
  guards:
    suppress_while: {upstream: stellar}
    breaker: {failures: 5}
    approval: true
  confirm: []
  steps:
  - {uses: docker.stop, with: {service: api}}
  - {uses: docker.start, with: {service: api}, approval: {required: true, timeout: 5m}}
`)
	_, c, err := guardsOf(t, f)
	require.NoError(t, err)
	rb := c.runbook(f, &f.Config.Policies[0])
	require.NoError(t, f.Report(c.found))
	require.True(t, rb.Policy.Manual)
	require.True(t, rb.Policy.HoldOnFailure)
	require.Equal(t, policy.Breaker{Failures: 5, OpenFor: time.Hour}, rb.Policy.Settings.Breaker)
	require.Equal(t, policy.Approval{Required: true, Timeout: 30 * time.Minute}, rb.Policy.Settings.Approval)
	require.Equal(t, "stellar", rb.Policy.Settings.SuppressWhile.Upstream)
	require.Equal(t, policy.Approval{Timeout: 30 * time.Minute}, rb.Steps[0].Approval)
	require.Equal(t, policy.Approval{Required: true, Timeout: 5 * time.Minute}, rb.Steps[1].Approval)
}
