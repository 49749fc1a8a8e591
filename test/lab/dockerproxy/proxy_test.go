package dockerproxy_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// behind stands up a service, and a client that reaches it through a proxy.
func behind(t *testing.T) (context.Context, *lab.Lab, *dockerproxy.Proxy, *client.Client, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api"}))
	ids, err := l.ContainerIDs(ctx, "api")
	require.NoError(t, err)
	proxy, err := dockerproxy.Start(ctx, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	docker, err := client.NewClientWithOpts(client.WithHost(proxy.Host()), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, docker.Close()) })
	return ctx, l, proxy, docker, ids[0]
}

func TestProxy_ReadOnlyRefusesAndRemembers(t *testing.T) {
	t.Parallel()
	ctx, l, proxy, docker, id := behind(t)
	proxy.ReadOnly(true)
	_, err := docker.ContainerInspect(ctx, id)
	require.NoError(t, err)
	require.Empty(t, proxy.Violations())
	require.ErrorContains(t, docker.ContainerRestart(ctx, id, container.StopOptions{}), "read-only")
	require.Equal(t, []dockerproxy.Call{{Method: "POST", Path: "/containers/" + id + "/restart"}}, proxy.Violations())
	n, err := l.Restarts(ctx, "api")
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestProxy_StreamsEventsLogsAndExec(t *testing.T) {
	t.Parallel()
	ctx, _, _, docker, id := behind(t)
	stream, cancel := context.WithCancel(ctx)
	messages, _ := docker.Events(stream, events.ListOptions{})
	defer cancel()
	require.NoError(t, docker.ContainerRestart(ctx, id, container.StopOptions{}))
	for m := range messages {
		if m.Action == events.ActionRestart && m.Actor.ID == id {
			break
		}
	}
	logs, err := docker.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true})
	require.NoError(t, err)
	text, err := io.ReadAll(logs)
	require.NoError(t, err)
	require.NoError(t, logs.Close())
	require.Contains(t, string(text), "serving on")

	exec, err := docker.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: []string{"/standin", "health"}, AttachStdout: true})
	require.NoError(t, err)
	attached, err := docker.ContainerExecAttach(ctx, exec.ID, container.ExecAttachOptions{})
	require.NoError(t, err)
	defer attached.Close()
	var out strings.Builder
	_, err = stdcopy.StdCopy(&out, &out, attached.Reader)
	require.NoError(t, err)
	require.Contains(t, out.String(), "health: ")
}

func TestProxy_RefuseTakesTheEngineAway(t *testing.T) {
	t.Parallel()
	ctx, _, proxy, docker, id := behind(t)
	_, errs := docker.Events(ctx, events.ListOptions{})
	require.NoError(t, proxy.WaitCall(ctx, "GET", "^/events$", 1))
	require.NoError(t, proxy.Refuse())
	require.Error(t, <-errs, "an open stream is cut")
	_, err := docker.ContainerInspect(ctx, id)
	require.True(t, client.IsErrConnectionFailed(err), "%v", err)
	require.NoError(t, proxy.Allow(ctx))
	_, err = docker.ContainerInspect(ctx, id)
	require.NoError(t, err)
}

func TestProxy_StallsFailsAndCuts(t *testing.T) {
	t.Parallel()
	ctx, l, proxy, docker, id := behind(t)
	proxy.AddRule(dockerproxy.Rule{Path: "/json$", Stall: time.Hour, Times: 1})
	impatient, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := docker.ContainerInspect(impatient, id)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = docker.ContainerInspect(ctx, id)
	require.NoError(t, err, "once only")

	proxy.AddRule(dockerproxy.Rule{Method: "POST", Path: "/restart$", Status: 500, Message: "no space left on device", Times: 1})
	require.ErrorContains(t, docker.ContainerRestart(ctx, id, container.StopOptions{}), "no space left on device")
	n, err := l.Restarts(ctx, "api")
	require.NoError(t, err)
	require.Zero(t, n)

	proxy.AddRule(dockerproxy.Rule{Method: "POST", Path: "/restart$", Cut: true, Times: 1})
	require.Error(t, docker.ContainerRestart(ctx, id, container.StopOptions{}))
	n, err = l.Restarts(ctx, "api")
	require.NoError(t, err)
	require.Equal(t, 1, n, "done, though the client got no answer")
}

func TestProxy_HooksRunAroundARequest(t *testing.T) {
	t.Parallel()
	ctx, l, proxy, docker, id := behind(t)
	var order []string
	proxy.AddRule(dockerproxy.Rule{Path: "/json$", Times: 1, Before: func() { order = append(order, "before") }, After: func() { order = append(order, "after") }})
	_, err := docker.ContainerInspect(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []string{"before", "after"}, order)

	removed := make(chan error, 1)
	proxy.AddRule(dockerproxy.Rule{Method: "POST", Path: "/restart$", Before: func() { removed <- l.Remove(ctx, "api") }})
	require.ErrorContains(t, docker.ContainerRestart(ctx, id, container.StopOptions{}), "No such container")
	require.NoError(t, <-removed)
}
