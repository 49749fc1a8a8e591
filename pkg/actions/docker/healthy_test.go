package docker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// film is an engine that shows containers as they are at each look, the last ones for good.
type film struct {
	Reader
	looks [][]Container
}

func (f *film) Containers(context.Context, string, string) ([]Container, error) {
	now := f.looks[0]
	if len(f.looks) > 1 {
		f.looks = f.looks[1:]
	}
	return now, nil
}

func (f *film) Events(context.Context, string, string, time.Time) (<-chan Event, <-chan error) {
	return make(chan Event), make(chan error)
}

// healthyOf is docker.healthy on what a film shows.
func healthyOf(t *testing.T, looks ...[]Container) *healthy {
	t.Helper()
	e := &Engines{list: []*engine{{Config: Config{Name: "local", Project: "p", Services: []string{"api"}}, reader: &film{looks: looks}}}}
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte("{service: api}"), &n))
	step, err := e.kindHealthy().Decode(n.Content[0])
	require.NoError(t, err)
	return step.(*healthy)
}

func TestHealthy_WhatHasJustBeenStartedIsNoSymptom(t *testing.T) {
	long, lately := time.Now().Add(-time.Hour), time.Now()
	up := Container{Name: "up", Status: statusRunning, Health: "healthy", StartedAt: long}
	starting := Container{Name: "new", Status: statusRunning, Health: "starting", StartedAt: lately}
	young := Container{Name: "young", Status: statusRunning, StartedAt: lately}
	with := func(status, health string) Container {
		return Container{Name: "bad", Status: status, Health: health, ExitCode: 3, StartedAt: lately}
	}
	for name, c := range map[string]struct {
		list        []Container
		ok, unknown bool
		text        string
	}{
		"healthy":                        {list: []Container{up}, ok: true, text: "api is healthy (1 containers)"},
		"no health check, long up":       {list: []Container{{Status: statusRunning, StartedAt: long}}, ok: true, text: "api is healthy"},
		"starting":                       {list: []Container{up, starting}, unknown: true, text: "whether api is healthy is not known yet: new is starting"},
		"no health check, lately up":     {list: []Container{young}, unknown: true, text: "less than 10s, and has no health check"},
		"starting beside an exited one":  {list: []Container{starting, with(statusExited, "")}, text: "api is not healthy: new is starting, bad is exited (exit code 3)"},
		"starting behind an exited one":  {list: []Container{with(statusExited, ""), starting}, text: "bad is exited"},
		"unhealthy, although just begun": {list: []Container{with(statusRunning, "unhealthy")}, text: "bad is unhealthy"},
		"restarting":                     {list: []Container{with(statusRestarting, "starting")}, text: "bad is restarting (exit code 3)"},
		"dead":                           {list: []Container{with(statusDead, "")}, text: "bad is dead"},
		"paused":                         {list: []Container{with(statusPaused, "healthy")}, text: "api is not healthy: bad is paused"},
		"just created":                   {list: []Container{{Name: "new", Status: statusCreated, CreatedAt: lately}}, unknown: true, text: "new was created at "},
		"created long ago":               {list: []Container{{Name: "old", Status: statusCreated, CreatedAt: long}}, text: "api is not healthy: old was never started"},
	} {
		t.Run(name, func(t *testing.T) {
			res := healthyOf(t, c.list).Check(t.Context(), actions.Scope{})
			require.Equal(t, c.ok, res.OK)
			require.Equal(t, c.unknown, res.Unknown)
			require.Contains(t, res.Text, c.text)
			require.Equal(t, c.ok, len(res.Outputs["unhealthy"].([]string)) == 0)
		})
	}
}

func TestHealthy_ACrashLoopIsASymptomWhileItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := Container{ID: "c", Name: "api-1", Status: statusRunning, Health: "starting", StartedAt: time.Now(), RestartCount: 1}
		h := healthyOf(t, []Container{run})
		check := func(c Container) actions.Result {
			h.engine.reader = &film{looks: [][]Container{{c}}}
			return h.Check(t.Context(), actions.Scope{})
		}
		require.True(t, check(run).Unknown)
		// The Watcher sees it come and go meanwhile.
		en := newWatched(h.engine)
		for range loopStarts {
			<-time.After(5 * time.Second)
			run.StartedAt, run.RestartCount = time.Now(), run.RestartCount+1
			en.take(run, time.Now())
		}
		res := check(run)
		require.False(t, res.OK)
		require.False(t, res.Unknown)
		require.Contains(t, res.Text, "api-1 is starting, and its restart policy starts it again and again")

		stale := run
		stale.RestartCount--
		require.False(t, check(stale).Unknown, "what was seen late changes nothing")
		require.Len(t, h.engine.restarts.runs["c"].rises, loopStarts)

		begun := run
		begun.StartedAt, begun.RestartCount = time.Now().Add(time.Second), 0
		require.True(t, check(begun).Unknown, "a person started it anew")
	})
}

func TestHealthy_ACrashLoopThatWasLongAgoIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := Container{ID: "c", Status: statusRunning, Health: "starting", StartedAt: time.Now()}
		looped := run
		looped.RestartCount = loopStarts
		h := healthyOf(t, []Container{run}, []Container{looped})
		require.True(t, h.Check(t.Context(), actions.Scope{}).Unknown)
		require.False(t, h.Check(t.Context(), actions.Scope{}).Unknown)
		<-time.After(loopTime + time.Second)
		require.True(t, h.Check(t.Context(), actions.Scope{}).Unknown)
	})
}

func TestHealthy_AwaitWaitsForWhatStarts(t *testing.T) {
	in := func(health string) []Container {
		return []Container{{ID: "c", Name: "api-1", Status: statusRunning, Health: health}}
	}
	for name, c := range map[string]struct {
		looks       [][]Container
		wantOK      bool
		ok, unknown bool
		after       time.Duration
	}{
		"until it is healthy":           {looks: [][]Container{in("starting"), in("starting"), in("healthy")}, wantOK: true, ok: true, after: 6 * time.Second},
		"past unhealthy":                {looks: [][]Container{in("starting"), in("unhealthy"), in("healthy")}, wantOK: true, ok: true, after: 6 * time.Second},
		"until it is unhealthy":         {looks: [][]Container{in("starting"), in("starting"), in("unhealthy")}, after: 6 * time.Second},
		"until the time is over":        {looks: [][]Container{in("starting")}, wantOK: true, unknown: true, after: time.Minute},
		"in vain: unhealthy to the end": {looks: [][]Container{in("starting"), in("unhealthy")}, wantOK: true, after: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				res := healthyOf(t, c.looks...).Await(ctx, actions.Scope{}, c.wantOK)
				require.Equal(t, c.ok, res.OK)
				require.Equal(t, c.unknown, res.Unknown, res.Text)
				require.Equal(t, c.after, time.Since(begin))
			})
		})
	}
}
