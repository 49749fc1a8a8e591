package lab_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/test/lab"
)

func TestMain(m *testing.M) {
	if os.Getenv("LAB_DIES") != "" {
		dieWithLab()
	}
	goleak.VerifyTestMain(m)
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestLab_WedgedServiceIsCuredByRestart(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "indexer"}))
	ids, err := l.ContainerIDs(ctx, "indexer")
	require.NoError(t, err)
	require.Len(t, ids, 1)
	before, err := l.StartedAt(ctx, ids[0])
	require.NoError(t, err)
	url, err := l.URL(ctx, "indexer")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status(t, url+"/health"))

	require.NoError(t, l.Wedge(ctx, "indexer"))
	require.NoError(t, l.WaitUnhealthy(ctx, "indexer"))
	n, err := l.Restarts(ctx, "indexer")
	require.NoError(t, err)
	require.Zero(t, n)

	require.NoError(t, l.Restart(ctx, "indexer"))
	require.NoError(t, l.WaitHealthy(ctx, "indexer"))
	n, err = l.Restarts(ctx, "indexer")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	after, err := l.StartedAt(ctx, ids[0])
	require.NoError(t, err)
	require.True(t, after.After(before))
	again, err := l.URL(ctx, "indexer")
	require.NoError(t, err)
	require.Equal(t, url, again)
	require.Equal(t, http.StatusOK, status(t, url+"/health"))
}

func TestLab_BreakLastsOverRestartsUntilHeal(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api"}))
	require.NoError(t, l.Break(ctx, "api", 1))
	require.NoError(t, l.WaitUnhealthy(ctx, "api"))
	require.NoError(t, l.Restart(ctx, "api"))
	require.NoError(t, l.WaitUnhealthy(ctx, "api"))
	url, err := l.URL(ctx, "api")
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, status(t, url+"/health"))
	require.NoError(t, l.Restart(ctx, "api"))
	require.NoError(t, l.WaitHealthy(ctx, "api"))

	require.NoError(t, l.WedgeFor(ctx, "api", -1))
	require.NoError(t, l.WaitUnhealthy(ctx, "api"))
	require.NoError(t, l.Heal(ctx, "api"))
	require.NoError(t, l.WaitHealthy(ctx, "api"))
}

func TestLab_ScaledServiceBrokenAtItsFirstStart(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "worker", Replicas: 2, Broken: "error", BrokenStarts: 1}))
	require.NoError(t, l.WaitUnhealthy(ctx, "worker"))
	require.NoError(t, l.Restart(ctx, "worker"))
	require.NoError(t, l.WaitHealthy(ctx, "worker"))
	ids, err := l.ContainerIDs(ctx, "worker")
	require.NoError(t, err)
	require.Len(t, ids, 2)
	urls, err := l.URLs(ctx, "worker")
	require.NoError(t, err)
	require.Len(t, urls, 2)
	require.NotEqual(t, urls[0], urls[1])
	n, err := l.Starts(ctx, "worker")
	require.NoError(t, err)
	require.Equal(t, 4, n)

	require.NoError(t, l.Recreate(ctx, "worker"))
	fresh, err := l.ContainerIDs(ctx, "worker")
	require.NoError(t, err)
	require.NotContains(t, fresh, ids[0])
	n, err = l.Restarts(ctx, "worker")
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

func TestLab_ExitInsideAndCrashLoop(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api"}))
	require.NoError(t, l.ExitInside(ctx, "api", 137))
	require.NoError(t, l.WaitExited(ctx, "api"))
	ids, err := l.ContainerIDs(ctx, "api")
	require.NoError(t, err)
	c, err := l.Docker.ContainerInspect(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, 137, c.State.ExitCode)
	require.False(t, c.State.OOMKilled)

	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "loop", Restart: "always", ExitAfter: time.Millisecond, ExitCode: 3}))
	require.NoError(t, l.WaitEvent(ctx, "loop", "die", 3))
}

func TestLab_LeakEndsInARealOutOfMemoryKill(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "indexer", Memory: 64 << 20}))
	require.NoError(t, l.Leak(ctx, "indexer", 8))
	require.Error(t, l.Leak(ctx, "indexer", 256))
	require.NoError(t, l.WaitExited(ctx, "indexer"))
	ids, err := l.ContainerIDs(ctx, "indexer")
	require.NoError(t, err)
	c, err := l.Docker.ContainerInspect(ctx, ids[0])
	require.NoError(t, err)
	require.True(t, c.State.OOMKilled)
}

func TestLab_SpinLogAndNeeds(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "indexer", LogLine: "hello"}))
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api", DependsOn: []string{"indexer"}, Needs: []string{"indexer"}}))
	require.NoError(t, l.Log(ctx, "indexer", "ERROR pool exhausted", 3))
	require.NoError(t, l.Spin(ctx, "indexer", 100*time.Millisecond))
	ids, err := l.ContainerIDs(ctx, "indexer")
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(logs(ctx, t, l, ids[0]), "ERROR pool exhausted"))
	require.Contains(t, logs(ctx, t, l, ids[0]), "hello")

	require.NoError(t, l.Stop(ctx, "indexer"))
	require.NoError(t, l.WaitExited(ctx, "indexer"))
	require.NoError(t, l.WaitUnhealthy(ctx, "api"))
	require.NoError(t, l.StartService(ctx, "indexer"))
	require.NoError(t, l.WaitHealthy(ctx, "api"))
}

func TestLab_ComposeLabelsOfBothVersions(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	for _, v1 := range []bool{false, true} {
		l := lab.New(t, lab.Options{ComposeV1: v1})
		require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api", DependsOn: []string{"postgres", "redis"}, NoStart: true}))
		ids, err := l.ContainerIDs(ctx, "api")
		require.NoError(t, err)
		c, err := l.Docker.ContainerInspect(ctx, ids[0])
		require.NoError(t, err)
		require.Equal(t, l.Project, c.Config.Labels[lab.LabelProject])
		require.Equal(t, "api", c.Config.Labels[lab.LabelService])
		require.Equal(t, "1", c.Config.Labels[lab.LabelNumber])
		require.Equal(t, "False", c.Config.Labels[lab.LabelOneOff])
		if v1 {
			require.Equal(t, "/"+l.Project+"_api_1", c.Name)
			require.NotContains(t, c.Config.Labels, lab.LabelDepends)
			continue
		}
		require.Equal(t, "/"+l.Project+"-api-1", c.Name)
		require.Equal(t, "postgres:service_healthy:false,redis:service_healthy:false", c.Config.Labels[lab.LabelDepends])
	}
}

func TestLab_CloseLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l, err := lab.Start(ctx, lab.Options{})
	require.NoError(t, err)
	other := lab.New(t)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "api", NoWait: true}))
	require.NoError(t, other.Service(ctx, lab.ServiceSpec{Name: "api", NoWait: true}))
	left, err := lab.Leftovers(ctx, other.Docker, l.Run)
	require.NoError(t, err)
	require.Len(t, left, 3, "a container, a network, a directory: %v", left)
	require.NoError(t, l.Close(ctx))
	require.NoError(t, l.Close(ctx), "a second time")
	left, err = lab.Leftovers(ctx, other.Docker, l.Run)
	require.NoError(t, err)
	require.Empty(t, left)
	left, err = lab.Leftovers(ctx, other.Docker, other.Run)
	require.NoError(t, err)
	require.Len(t, left, 3, "the other lab is untouched: %v", left)
}

// dieWithLab is the other process of TestSweep_RemovesWhatADeadProcessLeft.
func dieWithLab() {
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		panic(err)
	}
	if err := l.Service(ctx, lab.ServiceSpec{Name: "orphan", NoWait: true}); err != nil {
		panic(err)
	}
	os.Stdout.WriteString(l.Run)
	os.Exit(0) // without Close
}

func TestSweep_RemovesWhatADeadProcessLeft(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	mine := lab.New(t)
	require.NoError(t, mine.Service(ctx, lab.ServiceSpec{Name: "api", NoWait: true}))
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_DIES=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	run := string(out)
	left, err := lab.Leftovers(ctx, mine.Docker, run)
	require.NoError(t, err)
	require.Len(t, left, 3, "%v", left)

	// Another lab of this machine may sweep at the same time, so that what
	// counts is what is left, not who removed it.
	_, err = lab.Sweep(ctx, mine.Docker)
	require.NoError(t, err)
	left, err = lab.Leftovers(ctx, mine.Docker, run)
	require.NoError(t, err)
	require.Empty(t, left)
	left, err = lab.Leftovers(ctx, mine.Docker, mine.Run)
	require.NoError(t, err)
	require.Len(t, left, 3, "the living are untouched: %v", left)
}

func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func logs(ctx context.Context, t *testing.T, l *lab.Lab, id string) string {
	t.Helper()
	r, err := l.Docker.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	require.NoError(t, err)
	defer r.Close()
	var text strings.Builder
	_, err = stdcopy.StdCopy(&text, &text, r)
	require.NoError(t, err)
	return text.String()
}
