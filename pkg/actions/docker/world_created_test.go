package docker

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/services"
)

func TestWatched_WhatHasOnlyJustBeenCreatedHasNotStopped(t *testing.T) {
	born := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := Container{ID: "c", Name: "p-api-1", Status: statusCreated, CreatedAt: born, Labels: map[string]string{labelService: "api"}}
	en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"api"}}})
	look := func(after time.Duration, unseen error) services.Service {
		if unseen == nil {
			en.takeAll([]Container{c}, born.Add(after))
		}
		return en.services(unseen, born.Add(after))[0]
	}
	s := look(time.Second, nil)
	require.Equal(t, services.Starting, s.State)
	require.Equal(t, "p-api-1 was created at 2026-01-02T03:04:05Z and has not been started yet", s.Text)
	require.Empty(t, s.Stops)
	s = look(time.Hour, errors.New("hangs"))
	require.Equal(t, services.Unknown, s.State)
	require.Equal(t, services.Starting, s.Last)
	require.Empty(t, s.Stops, "as it was last seen")

	stop := services.Stop{Container: "c", Name: "p-api-1", Cause: services.ByUnknown, At: born}
	s = look(createdGrace, nil)
	require.Equal(t, services.Stopped, s.State)
	require.Equal(t, "p-api-1 was never started", s.Text)
	require.Equal(t, []services.Stop{stop}, s.Stops)

	c.Error, c.ExitCode = "port is taken", 128
	s = look(time.Second, nil)
	require.Equal(t, services.Stopped, s.State, "it was tried, and failed")
	require.Equal(t, "p-api-1 was never started, port is taken", s.Text)
	stop.ExitCode = 128
	require.Equal(t, []services.Stop{stop}, s.Stops)
}

func TestChange_LeavesWhatIsAboutToBeStarted(t *testing.T) {
	fresh := Container{ID: "c", Name: "p-api-1", Status: statusCreated, CreatedAt: time.Now()}
	old := fresh
	old.CreatedAt = time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		verb    string
		startIt bool
		of      Container
		needed  bool
		refused bool
	}{
		"restart":                        {verb: "restart", of: fresh, refused: true},
		"start":                          {verb: "start", of: fresh, refused: true},
		"stop: there is nothing to stop": {verb: "stop", of: fresh},
		"start, as the step says":        {verb: "start", startIt: true, of: fresh, needed: true},
		"long ago: for guards to say":    {verb: "restart", of: old, needed: true},
	} {
		t.Run(name, func(t *testing.T) {
			needed, err := (&change{verb: c.verb, startIt: c.startIt}).needed("api", c.of)
			require.Equal(t, c.needed, needed)
			if c.refused {
				require.Equal(t, actions.CodeStopped, actions.CodeOf(err))
				require.ErrorContains(t, err, "has not been started yet: who created it is about to start it")
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestDescribe_SaysNoExitCodeOfWhatHasNone(t *testing.T) {
	for want, c := range map[string]Container{
		"a-1 is paused, healthy":    {Status: statusPaused, Health: "healthy"},
		"a-1 was never started":     {Status: statusCreated},
		"a-1 exited, exit code 0":   {Status: statusExited},
		"a-1 running, starting":     {Status: statusRunning, Health: "starting"},
		"a-1 dead, exit code 3":     {Status: statusDead, ExitCode: 3},
		"a-1 removing, exit code 0": {Status: statusRemoving},
	} {
		c.Name = "a-1"
		require.Equal(t, want, describe(c))
	}
}
