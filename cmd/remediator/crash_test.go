package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/test/lab"
)

const crashConfig = `mode: live
storage: {path: data/remediator.db}
docker:
- {name: local, host: "@ENGINE@", project: "@PROJECT@", services: [api]}
receivers:
- {name: oncall}
policies:
- name: restart
  matchers: ['alertname="ServiceDown"', 'job="one"']
  confirm:
  - {uses: docker.healthy, with: {service: api}, expect: failure}
  steps:
  - {uses: docker.restart, with: {service: api, timeout: 1s}}
  verify:
  - {uses: docker.healthy, with: {service: api}, within: 8s}
  escalate: [oncall]
- name: stop-and-start
  matchers: ['alertname="ServiceDown"', 'job="two"']
  confirm:
  - {uses: docker.healthy, with: {service: api}, expect: failure}
  steps:
  - {uses: docker.stop, with: {service: api, timeout: 1s}}
  - {uses: docker.start, with: {service: api}}
  verify:
  - {uses: docker.healthy, with: {service: api}, within: 8s}
  escalate: [oncall]
`

// crashes is where the daemon is killed, and what must have become of it after the
// next start. Every boundary of the engine is here.
var crashes = []struct {
	at, job  string
	outcomes []string // of remediations in their order; "held" is not closed
	intents  int      // step.started
	restarts int      // starts that the engine saw, but for the first
	tells    int      // escalation.sent
}{
	{at: "received", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	{at: "decided", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "locked", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "firing", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "confirmed", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "planned", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "consented", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	{at: "guarded", job: "one", outcomes: []string{"interrupted", "succeeded"}, intents: 1, restarts: 1},
	// The intent is durable and nothing was done: it is not done later either.
	{at: "intended", job: "one", outcomes: []string{"interrupted"}, intents: 1, restarts: 0, tells: 1},
	// It was done and nobody wrote it down: the verify checks find out.
	{at: "applied", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	{at: "finished", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	{at: "stepped", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	{at: "verified", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	{at: "closed", job: "one", outcomes: []string{"succeeded"}, intents: 1, restarts: 1},
	// Between two effects an operator decides; in the first one nobody can know.
	{at: "intended", job: "two", outcomes: []string{"interrupted"}, intents: 1, restarts: 0, tells: 1},
	{at: "applied", job: "two", outcomes: []string{"interrupted"}, intents: 1, restarts: 0, tells: 1},
	{at: "finished", job: "two", outcomes: []string{"held"}, intents: 1, restarts: 0, tells: 1},
	{at: "intended:2", job: "two", outcomes: []string{"interrupted"}, intents: 2, restarts: 0, tells: 1},
	{at: "applied:2", job: "two", outcomes: []string{"succeeded"}, intents: 2, restarts: 1},
}

// TestDaemon_KilledAtABoundary kills the daemon with SIGKILL at every boundary and
// looks what the next start makes of it: no intent is carried out twice, nothing
// that was accepted is lost, and the log is whole.
func TestDaemon_KilledAtABoundary(t *testing.T) {
	t.Parallel()
	for _, c := range crashes {
		t.Run(fmt.Sprintf("%s of policy %s", c.at, c.job), func(t *testing.T) {
			t.Parallel()
			ctx, s := play(t, crashConfig, lab.Options{})
			require.NoError(t, s.lab.Service(ctx, brokenOnce("api")))
			require.NoError(t, s.lab.WaitUnhealthy(ctx, "api"))
			require.NoError(t, s.serve(ctx, []string{crashEnv + "=" + c.at}))
			// It may be killed before it answers; Alertmanager would call again, this
			// test does not: what was accepted must not need it.
			_, _, _ = s.post(ctx, notification(webhookAlert{job: c.job, startsAt: time.Now()}))
			state, err := s.daemon.wait(ctx)
			require.NoError(t, err, s.daemon.logs())
			require.Equal(t, "signal: killed", state.String())

			require.NoError(t, s.serve(ctx, nil))
			last := c.outcomes[len(c.outcomes)-1]
			if last == "held" {
				_, err = s.await(ctx, 1, want{kind: "remediation.held"})
			} else {
				_, err = s.await(ctx, 1, want{"remediation.closed", map[string]string{"outcome": last}})
			}
			require.NoError(t, err)
			if c.tells > 0 {
				_, err = s.await(ctx, c.tells, want{kind: "escalation.sent"})
				require.NoError(t, err)
			}
			// A third start finds nothing to put right.
			require.NoError(t, s.daemon.stop(ctx))
			require.NoError(t, s.serve(ctx, nil))
			require.NoError(t, s.daemon.stop(ctx))

			requireAftermath(ctx, t, s, c.outcomes, c.intents, c.tells)
			restarts, err := s.lab.Restarts(ctx, "api")
			require.NoError(t, err)
			require.Equal(t, c.restarts, restarts)
		})
	}
}

// requireAftermath reads the whole log.
func requireAftermath(ctx context.Context, t *testing.T, s *scene, outcomes []string, intents, tells int) {
	t.Helper()
	all, err := s.records(ctx)
	require.NoError(t, err)
	var order, lines []string
	ended, firing, decided := map[string]string{}, map[string]bool{}, map[string]bool{}
	counts, open := map[string]int{}, map[string]int{}
	for _, r := range all {
		lines = append(lines, summary(r))
		counts[r.get("type")]++
		id := r.get("remediation")
		switch r.get("type") {
		case "alert.firing":
			firing[r.get("episode")] = true
		case "remediation.decided":
			decided[r.get("episode")] = true
			if r.get("verdict") == "execute" {
				order = append(order, id)
			}
		case "step.started":
			open[id+r.get("step")]++
		case "step.finished":
			open[id+r.get("step")]--
		case "remediation.held":
			ended[id] = "held"
		case "remediation.closed":
			require.NotEqual(t, "succeeded", ended[id], "closed twice: %v", lines)
			ended[id] = r.get("outcome")
		}
	}
	var got []string
	for _, id := range order {
		got = append(got, ended[id])
	}
	require.Equal(t, outcomes, got, "%v", lines)
	require.Equal(t, intents, counts["step.started"], "%v", lines)
	require.Equal(t, tells, counts["escalation.sent"], "%v", lines)
	require.Equal(t, 1, counts["notification.received"])
	require.Len(t, firing, 1, "one episode: %v", lines)
	require.Equal(t, firing, decided, "every accepted alert was decided")
	for step, n := range open {
		require.Zero(t, n, "intent without result: %s: %v", step, lines)
	}
	_, err = s.program(ctx, "audit", "verify")
	require.NoError(t, err)
}

// play makes a scene for a Go test, with its configuration.
func play(t *testing.T, config string, o lab.Options) (context.Context, *scene) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	s, err := newScene(ctx, t.TempDir(), os.Environ(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, s.close(ctx))
		if t.Failed() && s.daemon != nil {
			t.Log(s.daemon.logs())
		}
	})
	require.NoError(t, s.write("config.yaml", config))
	require.NoError(t, s.fill(s.dir+"/config.yaml"))
	return ctx, s
}

// brokenOnce is a service that is unhealthy until it is restarted.
func brokenOnce(name string) lab.ServiceSpec {
	return lab.ServiceSpec{Name: name, Broken: "error", BrokenStarts: 1, HealthInterval: 300 * time.Millisecond}
}

// TestCrashes_ConcernEveryBoundary reads the names of the boundaries from the engine.
func TestCrashes_ConcernEveryBoundary(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../pkg/engine/*.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`boundary\("(\w+)"\)|\{"(\w+)", \(\*run\)\.`)
	want, tried := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range names.FindAllStringSubmatch(string(text), -1) {
			want[m[1]+m[2]] = true
		}
	}
	for _, c := range crashes {
		name, _, _ := strings.Cut(c.at, ":")
		tried[name] = true
	}
	require.NotEmpty(t, want)
	require.Equal(t, want, tried)
}
