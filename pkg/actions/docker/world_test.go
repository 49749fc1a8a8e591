package docker_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

// outlook is a Watcher on a lab of many small services.
type outlook struct {
	*testing.T
	ctx     context.Context
	lab     *lab.Lab
	proxy   *dockerproxy.Proxy
	engines *docker.Engines
	watcher *docker.Watcher
	changes atomic.Int64
	logs    *observer.ObservedLogs
}

// overlook stands up services, of which all but "other" are declared, and a Watcher
// that has not been started. What it asks must not change anything.
func overlook(t *testing.T, depends map[string][]string, specs ...lab.ServiceSpec) *outlook {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	o := &outlook{T: t, ctx: ctx, lab: lab.New(t)}
	declared := []string{"gone"}
	var all sync.WaitGroup
	for _, spec := range specs {
		if spec.Name != "other" && !spec.OneOff {
			declared = append(declared, spec.Name)
		}
		all.Go(func() {
			if err := o.lab.Service(ctx, spec); err != nil {
				t.Errorf("%s: %v", spec.Name, err)
			}
		})
	}
	all.Wait()
	var err error
	o.proxy, err = dockerproxy.Start(ctx, "")
	require.NoError(t, err)
	o.proxy.ReadOnly(true)
	t.Cleanup(func() {
		require.Empty(t, o.proxy.Violations())
		require.NoError(t, o.proxy.Close())
	})
	o.engines, err = docker.New([]docker.Config{{Name: "local", Host: o.proxy.Host(), Project: o.lab.Project, Services: declared, DependsOn: depends}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.engines.Close()) })
	core, logs := observer.New(zap.InfoLevel)
	o.logs = logs
	o.watcher = o.engines.Watch(docker.WatchOptions{Logger: zap.New(core), Changed: func() { o.changes.Add(1) }, Every: time.Minute})
	t.Cleanup(func() {
		o.watcher.Stop()
		for _, l := range logs.All() {
			t.Logf("%s %s %v", l.Time.Format(time.StampMicro), l.Message, l.ContextMap())
		}
	})
	return o
}

func (o *outlook) get(service string) services.Service {
	return o.watcher.World().Get("docker:local/" + service)
}

// await gives the service once it is as wanted.
func (o *outlook) await(service string, ok func(services.Service) bool) services.Service {
	o.Helper()
	defer func() {
		if o.Failed() {
			o.Logf("%+v", o.get(service))
		}
	}()
	require.Eventually(o, func() bool { return ok(o.get(service)) }, 20*time.Second, 5*time.Millisecond, service)
	return o.get(service)
}

func (o *outlook) awaitState(service string, want services.State) services.Service {
	o.Helper()
	return o.await(service, func(s services.Service) bool { return s.State == want })
}

func (o *outlook) awaitCause(service string, want services.Cause) services.Stop {
	o.Helper()
	return o.await(service, func(s services.Service) bool { return len(s.Stops) == 1 && s.Stops[0].Cause == want }).Stops[0]
}

func (o *outlook) id(service string) string {
	o.Helper()
	ids, err := o.lab.ContainerIDs(o.ctx, service)
	require.NoError(o, err)
	return ids[0]
}

func (o *outlook) signal(service, signal string) {
	o.Helper()
	require.NoError(o, o.lab.Docker.ContainerKill(o.ctx, o.id(service), signal))
}

// crash kills a container's process past the engine, as the kernel would.
func (o *outlook) crash(service string) {
	o.Helper()
	c, err := o.lab.Docker.ContainerInspect(o.ctx, o.id(service))
	require.NoError(o, err)
	require.NoError(o, unix.Kill(c.State.Pid, unix.SIGKILL))
}

// answering waits until services answer: one that is killed while it starts may not
// start again.
func (o *outlook) answering(names ...string) {
	o.Helper()
	for _, name := range names {
		url, err := o.lab.URL(o.ctx, name)
		require.NoError(o, err)
		require.Eventually(o, func() bool {
			req, err := http.NewRequestWithContext(o.ctx, http.MethodGet, url+"/control/state", nil)
			if err != nil {
				return false
			}
			req.Close = true
			res, err := http.DefaultClient.Do(req)
			return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
		}, 20*time.Second, 20*time.Millisecond, name)
	}
}

// plain is a service without a health check, whose events are few.
func plain(name string) lab.ServiceSpec { return lab.ServiceSpec{Name: name, NoHealthcheck: true} }

func TestWatcher_SaysWhyServicesStopped(t *testing.T) {
	hup, oom := plain("hup"), plain("oom")
	hup.Env = map[string]string{"STANDIN_IGNORE_HUP": "1"}
	oom.Memory = 32 << 20
	o := overlook(t, nil, plain("stopped"), plain("killed"), hup, plain("zero"), plain("one"), plain("ninth"), oom, plain("restarted"), plain("removed"))
	require.Equal(t, services.Unknown, o.get("stopped").State)
	require.Contains(t, o.get("stopped").Text, "not looked at yet")
	o.watcher.Start(o.ctx)
	for _, name := range []string{"stopped", "killed", "hup", "zero", "one", "ninth", "oom", "restarted", "removed"} {
		require.Empty(t, o.awaitState(name, services.Running).Stops)
	}
	require.Equal(t, services.Missing, o.get("gone").State)
	require.Equal(t, "gone has no container", o.get("gone").Text)

	o.answering("stopped", "killed", "hup", "zero", "one", "ninth", "oom", "restarted")
	o.signal("hup", "HUP")
	begin := time.Now()
	for name, act := range map[string]func() error{
		"stopped":   func() error { return o.lab.Stop(o.ctx, "stopped") },
		"killed":    func() error { return o.lab.Kill(o.ctx, "killed") },
		"zero":      func() error { return o.lab.ExitInside(o.ctx, "zero", 0) },
		"one":       func() error { return o.lab.ExitInside(o.ctx, "one", 1) },
		"ninth":     func() error { o.crash("ninth"); return nil },
		"restarted": func() error { return o.lab.Restart(o.ctx, "restarted") },
		"removed":   func() error { return o.lab.Remove(o.ctx, "removed") },
		// The answer does not come: it is killed.
		"oom": func() error { _ = o.lab.Leak(o.ctx, "oom", 64); return nil },
	} {
		require.NoError(t, act(), name)
	}
	for name, want := range map[string]services.Stop{
		"stopped": {Cause: services.ByKill}, "killed": {Cause: services.ByKill, ExitCode: 137},
		"zero": {Cause: services.ByCrash}, "one": {Cause: services.ByCrash, ExitCode: 1},
		"ninth": {Cause: services.ByCrash, ExitCode: 137}, "oom": {Cause: services.ByCrash, ExitCode: 137},
	} {
		got := o.awaitCause(name, want.Cause)
		require.Equal(t, want.ExitCode, got.ExitCode, name)
		require.Equal(t, o.id(name), got.Container)
		require.WithinRange(t, got.At, begin, time.Now())
		if want.Cause == services.ByKill {
			require.WithinRange(t, got.Killed, begin, got.At.Add(time.Second), name)
		} else {
			require.Zero(t, got.Killed, name)
		}
		require.Equal(t, services.Stopped, o.get(name).State)
	}
	require.Contains(t, o.get("one").Text, "one-1 exited, exit code 1")
	o.awaitState("removed", services.Missing)
	require.Empty(t, o.awaitState("restarted", services.Running).Stops, "it came back")

	require.Equal(t, services.Running, o.get("hup").State, "it lived on")
	require.NoError(t, o.lab.WaitEvent(o.ctx, "hup", "kill", 1))
	hupped := time.Now()
	require.Eventually(t, func() bool { return time.Since(hupped) > 3500*time.Millisecond }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, o.lab.ExitInside(o.ctx, "hup", 4))
	require.Equal(t, 4, o.awaitCause("hup", services.ByCrash).ExitCode, "to read one's configuration again is not to stop")

	require.NoError(t, o.lab.StartService(o.ctx, "stopped"))
	require.Empty(t, o.awaitState("stopped", services.Running).Stops)
	o.crash("stopped")
	require.Equal(t, 137, o.awaitCause("stopped", services.ByCrash).ExitCode, "the person's stop was of the run before")
}

func TestWatcher_SaysHowServicesAre(t *testing.T) {
	job, after, loop, created := plain("job"), plain("after"), plain("loop"), plain("created")
	job.ExitAfter = 100 * time.Millisecond
	after.Labels = map[string]string{lab.LabelDepends: "job:service_completed_successfully:false,never,db"}
	loop.Restart, loop.ExitAfter, loop.ExitCode = "always", 100*time.Millisecond, 3
	created.NoStart = true
	db := lab.ServiceSpec{Name: "db", DependsOn: []string{"api"}}
	oneOff := lab.ServiceSpec{Name: "once", OneOff: true, NoHealthcheck: true, NoPublish: true}
	pair := plain("pair")
	pair.Replicas = 2
	o := overlook(t, map[string][]string{"api": {"db", "job"}}, db, oneOff, plain("api"), job, after, loop, created, pair, plain("other"))
	o.watcher.Start(o.ctx)

	got := o.awaitState("db", services.Healthy)
	require.Contains(t, got.Text, "db-1 running, healthy")
	require.Equal(t, []services.Dependency{{Target: "docker:local/api", Condition: services.ConditionHealthy}}, got.DependsOn)
	require.Equal(t, []services.Dependency{{Target: "docker:local/db"}, {Target: "docker:local/job"}}, o.get("api").DependsOn)
	require.Equal(t, []services.Dependency{
		{Target: "docker:local/db", Condition: services.ConditionStarted},
		{Target: "docker:local/job", Condition: services.ConditionCompleted},
		{Target: "docker:local/never", Condition: services.ConditionStarted},
	}, o.get("after").DependsOn)
	require.Equal(t, services.Missing, o.get("never").State, "depended on, and never made")
	require.Equal(t, 1, o.logs.FilterMessageSnippet("in a circle").Len())

	require.Contains(t, o.awaitState("job", services.Completed).Text, "exit code 0")
	require.Len(t, o.get("job").Stops, 1)
	o.awaitState("loop", services.Unhealthy)
	require.Empty(t, o.get("loop").Stops)
	got = o.awaitState("created", services.Starting)
	require.Regexp(t, `created-1 was created at \S+Z and has not been started yet$`, got.Text)
	require.Empty(t, got.Stops, "it may be started any moment")
	require.Equal(t, services.Running, o.get("other").State)
	require.False(t, o.get("other").Declared)
	require.Equal(t, "not known", o.get("once").Text, "of docker compose run")
	require.True(t, o.get("db").Declared)

	require.NoError(t, o.lab.Break(o.ctx, "db", 0))
	o.awaitState("db", services.Unhealthy)
	require.NoError(t, o.lab.Heal(o.ctx, "db"))
	o.awaitState("db", services.Healthy)
	since := o.get("api").Since
	require.NoError(t, o.lab.Docker.ContainerPause(o.ctx, o.id("api")))
	require.Contains(t, o.awaitState("api", services.Unhealthy).Text, "api-1 is paused")
	require.NoError(t, o.lab.Docker.ContainerUnpause(o.ctx, o.id("api")))
	require.True(t, o.awaitState("api", services.Running).Since.After(since))

	ids, err := o.lab.ContainerIDs(o.ctx, "pair")
	require.NoError(t, err)
	require.NoError(t, o.lab.Docker.ContainerKill(o.ctx, ids[1], "KILL"))
	require.Equal(t, ids[1], o.awaitState("pair", services.Stopped).Stops[0].Container)
	require.Contains(t, o.get("pair").Text, "pair-2 exited, exit code 137 (1 of 2 containers stopped)")
	require.NoError(t, o.lab.Docker.ContainerRemove(o.ctx, ids[1], container.RemoveOptions{}))
	o.awaitState("pair", services.Running)
	require.NoError(t, o.lab.Recreate(o.ctx, "api"))
	o.awaitState("api", services.Running)
	changes := o.changes.Load()
	_, err = o.watcher.Refresh(o.ctx)
	require.NoError(t, err)
	o.watcher.Stop()
	o.watcher.Stop()
	require.GreaterOrEqual(t, o.changes.Load(), changes)
	require.Equal(t, 1, o.logs.FilterMessageSnippet("in a circle").Len(), "once")
}

func TestWatcher_OutlivesTheEngine(t *testing.T) {
	o := overlook(t, nil, plain("stopped"), plain("killed"), plain("api"))
	require.NoError(t, o.proxy.Refuse())
	o.watcher.Start(o.ctx)
	require.Contains(t, o.await("api", func(s services.Service) bool { return s.State == services.Unknown && s.Text != "" && o.logs.Len() > 0 }).Text, "docker local cannot be looked at")
	world, err := o.watcher.Refresh(o.ctx)
	require.ErrorContains(t, err, `docker "local"`)
	require.Equal(t, services.Unknown, world.Get("docker:local/api").State)
	require.NoError(t, o.proxy.Allow(o.ctx))
	o.awaitState("api", services.Running)

	require.NoError(t, o.lab.Stop(o.ctx, "stopped"))
	stop := o.awaitCause("stopped", services.ByKill)
	require.NoError(t, o.proxy.Refuse())
	cut := time.Now()
	o.awaitState("api", services.Unknown)
	require.Less(t, time.Since(cut), 3*time.Second)
	require.Equal(t, []services.Stop{stop}, o.get("stopped").Stops, "not to see is no reason to forget")
	require.Equal(t, services.Stopped, o.get("stopped").Last)
	require.Equal(t, services.Running, o.get("api").Last)
	require.NoError(t, o.lab.Kill(o.ctx, "killed"))
	require.NoError(t, o.proxy.Allow(o.ctx))
	o.awaitState("api", services.Running)
	o.awaitCause("stopped", services.ByKill)
	o.awaitCause("killed", services.ByKill)
	o.answering("api")
	require.NoError(t, o.lab.ExitInside(o.ctx, "api", 1))
	o.awaitCause("api", services.ByCrash)
}

func TestWatcher_LooksOnce(t *testing.T) {
	o := overlook(t, nil, plain("api"))
	for _, c := range []struct {
		want services.Cause
		act  func() error
	}{
		{services.ByKill, func() error { return o.lab.Stop(o.ctx, "api") }},
		{services.ByCrash, func() error { return o.lab.ExitInside(o.ctx, "api", 1) }},
		{services.ByKill, func() error { return o.lab.Kill(o.ctx, "api") }},
	} {
		// The engine remembers 256 events of all its containers, which other tests
		// make as well: the stop may be forgotten before it is asked about.
		o.answering("api")
		require.Eventually(t, func() bool {
			if c.act() != nil || o.lab.WaitExited(o.ctx, "api") != nil {
				return false
			}
			world, err := o.engines.Watch(docker.WatchOptions{}).Look(o.ctx)
			s := world.Get("docker:local/api")
			again := o.lab.StartService(o.ctx, "api")
			o.answering("api")
			return err == nil && again == nil && s.State == services.Stopped && s.Stops[0].Cause == c.want
		}, 30*time.Second, 100*time.Millisecond, c.want)
		_, err := o.lab.Starts(o.ctx, "api")
		require.NoError(t, err)
	}
	require.Equal(t, services.Unknown, o.get("api").State, "nobody asked this one")
}

func TestWatcher_AnEngineThatHangsIsUnknownInTime(t *testing.T) {
	o := overlook(t, nil, plain("api"))
	_, err := o.watcher.Refresh(o.ctx)
	require.NoError(t, err)
	require.Equal(t, services.Running, o.get("api").State)
	gaveUp, cancel := context.WithCancel(o.ctx)
	cancel()
	world, err := o.watcher.Refresh(gaveUp)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, services.Unknown, world.Get("docker:local/api").State)
	require.Equal(t, services.Running, o.get("api").State, "who gave up says nothing of the engine")

	o.proxy.AddRule(dockerproxy.Rule{Path: ".*", Stall: time.Minute})
	begin := time.Now()
	world, err = o.watcher.Refresh(o.ctx)
	require.Error(t, err)
	require.Less(t, time.Since(begin), 8*time.Second)
	require.Equal(t, services.Unknown, world.Get("docker:local/api").State)
	require.Equal(t, services.Unknown, o.get("api").State)
	o.proxy.ClearRules()
	_, err = o.watcher.Refresh(o.ctx)
	require.NoError(t, err)
	require.Equal(t, services.Running, o.get("api").State)

	o.proxy.AddRule(dockerproxy.Rule{Path: ".*", Stall: time.Minute})
	impatient, cancel := context.WithTimeout(o.ctx, time.Second)
	defer cancel()
	_, err = o.watcher.Refresh(impatient)
	require.Error(t, err)
	require.Equal(t, services.Unknown, o.get("api").State, "what is older must not pass for what is")
	require.Equal(t, services.Running, o.get("api").Last)
	o.proxy.ClearRules()
	_, err = o.watcher.Refresh(o.ctx)
	require.NoError(t, err)
	require.Equal(t, services.Running, o.get("api").State)
}

func TestWatcher_IsQuick(t *testing.T) {
	o := overlook(t, nil, plain("api"))
	shown := make(chan time.Time, 100)
	core, logs := observer.New(zap.DebugLevel)
	w := o.engines.Watch(docker.WatchOptions{Logger: zap.New(core), Changed: func() { shown <- time.Now() }})
	defer func() {
		if t.Failed() {
			t.Logf("%+v\n%v", w.World().Get("docker:local/api"), logs.All())
		}
	}()
	t.Cleanup(w.Stop)
	w.Start(o.ctx)
	state := func() services.State { return w.World().Get("docker:local/api").State }
	require.Eventually(t, func() bool { return state() == services.Running }, 10*time.Second, 5*time.Millisecond)
	var lags []time.Duration
	for i := range 8 {
		o.answering("api")
		o.crash("api")
		at := <-shown
		for state() != services.Stopped { // what is left of the start before
			at = <-shown
		}
		require.NoError(t, o.lab.WaitEvent(o.ctx, "api", "die", i+1))
		events, err := o.lab.Events(o.ctx, "api")
		require.NoError(t, err)
		for _, e := range slices.Backward(events) {
			if e.Action == "die" {
				lags = append(lags, at.Sub(e.Time))
				break
			}
		}
		require.NoError(t, o.lab.StartService(o.ctx, "api"))
		require.Eventually(t, func() bool { return state() == services.Running }, 10*time.Second, 5*time.Millisecond)
	}
	slices.Sort(lags)
	t.Logf("from a container's die event to the World that shows it: p50 %s, worst %s", lags[len(lags)/2], lags[len(lags)-1])
	require.Less(t, lags[len(lags)/2], time.Second)
}
