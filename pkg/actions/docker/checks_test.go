package docker_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

func TestHealthy_IsAwaitedThroughEvents(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api", HealthyAfter: 2 * time.Second, NoWait: true})
	step := b.decode(t, "docker.healthy", "{service: api}")
	now := step.(actions.Check).Check(ctx, scope())
	require.False(t, now.OK)
	require.True(t, now.Unknown, "starting is neither healthy nor a symptom")
	require.Contains(t, now.Text, "is starting")

	res := step.(actions.Waiter).Await(ctx, scope(), true)
	require.True(t, res.OK, res.Text)
	require.Contains(t, res.Text, "is healthy (1 containers)")

	require.NoError(t, b.Wedge(ctx, "api"))
	res = step.(actions.Waiter).Await(ctx, scope(), false)
	require.False(t, res.OK)
	require.False(t, res.Unknown)
	require.Contains(t, res.Text, "is unhealthy")

	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	res = step.(actions.Waiter).Await(short, scope(), true)
	require.False(t, res.OK, "the time is over, and the last answer stands")
	require.False(t, res.Unknown)
}

func TestHealthy_AwaitOutlivesTheEngine(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api"})
	require.NoError(t, b.Wedge(ctx, "api"))
	require.NoError(t, b.WaitUnhealthy(ctx, "api"))
	step := b.decode(t, "docker.healthy", "{service: api}").(actions.Waiter)
	got := make(chan actions.Result, 1)
	go func() { got <- step.Await(ctx, scope(), true) }()
	require.NoError(t, b.proxy.WaitCall(ctx, http.MethodGet, "^/containers/.*/json$", 1))
	require.NoError(t, b.proxy.Refuse())
	require.NoError(t, b.Heal(ctx, "api"))
	require.NoError(t, b.WaitHealthy(ctx, "api"))
	require.NoError(t, b.proxy.Allow(ctx))
	res := <-got
	require.True(t, res.OK, res.Text)
	require.NoError(t, b.proxy.WaitCall(ctx, http.MethodGet, "^/events$", 2), "the events were asked for again")
}

func TestHealthy_AwaitReturnsWhenItsTimeIsOver(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api"})
	b.proxy.AddRule(dockerproxy.Rule{Path: ".*", Stall: time.Minute})
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	res := b.decode(t, "docker.healthy", "{service: api}").(actions.Waiter).Await(short, scope(), true)
	require.True(t, res.Unknown)
	require.Less(t, time.Since(begin), 5*time.Second)
}

func TestHealthy_WithoutAHealthCheckItMustHaveRunForAWhile(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api", NoHealthcheck: true})
	res := b.check(ctx, t, "docker.healthy", "{service: api, stable_for: 1h}")
	require.False(t, res.OK)
	require.True(t, res.Unknown)
	require.Contains(t, res.Text, "less than 1h0m0s, and has no health check")
	res = b.decode(t, "docker.healthy", "{service: api, stable_for: 1s}").(actions.Waiter).Await(ctx, scope(), true)
	require.True(t, res.OK, res.Text)
}

func TestHealthy_CountsEveryContainerOfAService(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api", Replicas: 2})
	require.True(t, b.check(ctx, t, "docker.healthy", "{service: api}").OK)
	ids, err := b.ContainerIDs(ctx, "api")
	require.NoError(t, err)
	require.NoError(t, b.Docker.ContainerKill(ctx, ids[1], "KILL"))
	require.NoError(t, b.WaitEvent(ctx, "api", "die", 1))
	res := b.check(ctx, t, "docker.healthy", "{service: api}")
	require.False(t, res.OK)
	require.False(t, res.Unknown)
	require.Contains(t, res.Text, "is exited (exit code 137)")
	require.Len(t, res.Outputs["unhealthy"], 1)

	res = b.check(ctx, t, "docker.state", "{service: api}")
	require.False(t, res.OK)
	require.Equal(t, "exited", res.Outputs["status"], "the one that is not as wanted is shown")
	require.Equal(t, 137, res.Outputs["exit_code"])
	require.Equal(t, 2, res.Outputs["containers"])
	require.NotEmpty(t, res.Outputs["finished_at"])
}

func TestState_ShowsACrashLoopByItsRestarts(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api", Restart: "always", ExitAfter: 100 * time.Millisecond, ExitCode: 3})
	require.NoError(t, b.WaitEvent(ctx, "api", "die", 3))
	res := b.check(ctx, t, "docker.state", "{service: api}")
	require.Positive(t, res.Outputs["restart_count"])
	require.Contains(t, res.Text, "by its policy")
	require.False(t, b.check(ctx, t, "docker.healthy", "{service: api}").OK)
	_, p := b.plan(ctx, t, "docker.restart", "{service: api}")
	require.Len(t, p.Objects, 1, "what its policy keeps restarting can be restarted")
}

func TestLogs_FindsAPatternWithAndWithoutTTY(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api"}, lab.ServiceSpec{Name: "tty", TTY: true})
	for _, service := range []string{"api", "tty"} {
		require.NoError(t, b.Log(ctx, service, "panic: out of files", 60))
		search := "{service: " + service + ", match: '^panic: .* files$', since: 5m, tail: 500}"
		res := b.check(ctx, t, "docker.logs", search)
		for res.Outputs["matches"] != 60 && ctx.Err() == nil { // the engine writes the log a moment later
			res = b.check(ctx, t, "docker.logs", search)
		}
		require.False(t, res.OK, service)
		require.Equal(t, 60, res.Outputs["matches"], service)
		require.Len(t, res.Outputs["lines"], 50)
		require.Contains(t, res.Outputs["lines"].([]string)[0], ": panic: out of files")
		require.True(t, b.check(ctx, t, "docker.logs", "{service: "+service+", match: 'no such line', since: 5m}").OK)
		require.Less(t, b.check(ctx, t, "docker.logs", "{service: "+service+", match: panic, tail: 10}").Outputs["matches"], 11)
	}
}

func TestChecks_AreUnknownWhenDockerIsAway(t *testing.T) {
	ctx, b := newBench(t)
	missing := b.check(ctx, t, "docker.healthy", "{service: missing}")
	require.False(t, missing.OK)
	require.False(t, missing.Unknown, "that there is no container is an answer")
	require.NoError(t, b.proxy.Refuse())
	for uses, with := range map[string]string{
		"docker.healthy": "{service: missing}", "docker.state": "{service: missing}", "docker.logs": "{service: missing, match: x}",
	} {
		res := b.check(ctx, t, uses, with)
		require.True(t, res.Unknown, uses)
		require.False(t, res.OK, uses)
	}
}

func TestEngines_AddressesAndEvidence(t *testing.T) {
	ctx, b := newBench(t, lab.ServiceSpec{Name: "api", LogLine: "hello from api"})
	running, ips, published, err := b.engines.Addresses(ctx, "api")
	require.NoError(t, err)
	require.True(t, running)
	address, err := b.Address(ctx, "api")
	require.NoError(t, err)
	require.Equal(t, address, ips[0].String())
	url, err := b.URL(ctx, "api")
	require.NoError(t, err)
	require.Equal(t, url, "http://"+published[0].String())

	tails, err := b.engines.Tail(ctx, "api", time.Time{}, 100)
	require.NoError(t, err)
	require.Len(t, tails, 1)
	for _, text := range tails {
		require.Contains(t, text, "hello from api")
	}
	states, err := b.engines.Describe(ctx, "api")
	require.NoError(t, err)
	require.Contains(t, states[0], "running, healthy")
	states, err = b.engines.Describe(ctx, "missing")
	require.NoError(t, err)
	require.Equal(t, []string{"missing has no container"}, states)

	require.NoError(t, b.Stop(ctx, "api"))
	running, _, _, err = b.engines.Addresses(ctx, "api")
	require.NoError(t, err)
	require.False(t, running)
	_, _, _, err = b.engines.Addresses(ctx, "undeclared")
	require.Equal(t, actions.CodeNotDeclared, actions.CodeOf(err))
}
