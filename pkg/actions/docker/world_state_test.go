package docker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/services"
)

func TestDependsOn_ReadsEveryFormOfTheLabel(t *testing.T) {
	for label, want := range map[string]map[string]string{
		"":                               {},
		"postgres:service_healthy:false": {"postgres": services.ConditionHealthy},
		"postgres:service_healthy:false,redis:service_started:true": {"postgres": services.ConditionHealthy, "redis": services.ConditionStarted},
		"postgres, redis":                    {"postgres": services.ConditionStarted, "redis": services.ConditionStarted},
		"job:service_completed_successfully": {"job": services.ConditionCompleted},
		",:service_healthy:false,":           {},
	} {
		require.Equal(t, want, dependsOn(label), "%q", label)
	}
}

func TestLoop_EndsOnAnyGraph(t *testing.T) {
	dense := map[string]map[string]string{}
	for i := range 60 {
		dense[string(rune('A'+i))] = map[string]string{}
		for j := range i {
			dense[string(rune('A'+i))][string(rune('A'+j))] = ""
		}
	}
	require.Nil(t, loop(dense), "everything on everything before it")
	dense["A"]["B"] = ""
	require.Equal(t, []string{"A", "B", "A"}, loop(dense))
	require.Equal(t, []string{"x", "x"}, loop(map[string]map[string]string{"a": {"x": ""}, "x": {"x": ""}}))
}

func TestStateOf_EveryStateOfAContainer(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		c                Container
		looping, oneShot bool
		want             services.State
	}{
		"healthy":                     {c: Container{Status: statusRunning, Health: "healthy"}, looping: true, want: services.Healthy},
		"unhealthy":                   {c: Container{Status: statusRunning, Health: "unhealthy"}, want: services.Unhealthy},
		"starting":                    {c: Container{Status: statusRunning, Health: "starting"}, want: services.Starting},
		"starting again and again":    {c: Container{Status: statusRunning, Health: "starting"}, looping: true, want: services.Unhealthy},
		"no check":                    {c: Container{Status: statusRunning}, want: services.Running},
		"no check, again and again":   {c: Container{Status: statusRunning}, looping: true, want: services.Unhealthy},
		"restarting":                  {c: Container{Status: statusRestarting}, want: services.Unhealthy},
		"paused":                      {c: Container{Status: statusPaused, Health: "healthy"}, want: services.Unhealthy},
		"exited":                      {c: Container{Status: statusExited}, want: services.Stopped},
		"created":                     {c: Container{Status: statusCreated, CreatedAt: now.Add(-createdGrace)}, oneShot: true, want: services.Stopped},
		"just created":                {c: Container{Status: statusCreated, CreatedAt: now.Add(time.Second - createdGrace)}, want: services.Starting},
		"just created, start failed":  {c: Container{Status: statusCreated, CreatedAt: now, ExitCode: 128, Error: "port is taken"}, want: services.Stopped},
		"dead":                        {c: Container{Status: statusDead}, want: services.Stopped},
		"removing":                    {c: Container{Status: statusRemoving}, want: services.Missing},
		"one-shot":                    {c: Container{Status: statusExited, Restarts: "no"}, oneShot: true, want: services.Completed},
		"one-shot that failed":        {c: Container{Status: statusExited, ExitCode: 1}, oneShot: true, want: services.Stopped},
		"one-shot that is to run":     {c: Container{Status: statusExited, Restarts: "unless-stopped"}, oneShot: true, want: services.Stopped},
		"one-shot that did not start": {c: Container{Status: statusExited, Error: "no such file"}, oneShot: true, want: services.Stopped},
		"not looked at":               {c: Container{Error: "timeout"}, want: services.Unknown},
	} {
		require.Equal(t, c.want, stateOf(c.c, now, c.looping, c.oneShot), name)
	}
}

func TestWorst_OfSeveralContainersDecides(t *testing.T) {
	state := func(c Container) services.State { return stateOf(c, time.Now(), false, false) }
	up, down, going := Container{Name: "a-1", Status: statusRunning}, Container{Name: "a-2", Status: statusExited, ExitCode: 1}, Container{Name: "a-3", Status: statusRemoving}
	got, text := worst([]Container{up, down, up}, state)
	require.Equal(t, services.Stopped, got)
	require.Equal(t, "a-2 exited, exit code 1 (1 of 3 containers stopped)", text)
	got, _ = worst([]Container{up, going}, state)
	require.Equal(t, services.Running, got, "the one that is removed has a successor")
	got, _ = worst([]Container{going}, state)
	require.Equal(t, services.Missing, got)
	got, _ = worst(nil, state)
	require.Equal(t, services.Missing, got)
}

func TestWatched_CrashLoopIsSeenWhileItRuns(t *testing.T) {
	en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"api"}}})
	now := time.Now()
	look := func(restarts int) services.State {
		now = now.Add(5 * time.Second)
		c := Container{ID: "c", Status: statusRunning, RestartCount: restarts, StartedAt: now, Labels: map[string]string{labelService: "api"}}
		en.takeAll([]Container{c}, now)
		return en.services(nil, now)[0].State
	}
	require.Equal(t, services.Running, look(7), "how fast it got there is not known")
	require.Equal(t, services.Running, look(8))
	require.Equal(t, services.Running, look(9))
	require.Equal(t, services.Unhealthy, look(10))
	require.Equal(t, services.Unhealthy, look(10))
	now = now.Add(time.Minute)
	require.Equal(t, services.Running, look(10))
	require.False(t, en.restarts.looping("c", now))
	require.Equal(t, services.Unhealthy, look(100))
	require.Len(t, en.restarts.runs["c"].rises, loopStarts, "bounded")
	require.Equal(t, services.Running, look(0), "somebody started it: a new beginning")
	en.takeAll(nil, now)
	require.Empty(t, en.restarts.runs)
}
