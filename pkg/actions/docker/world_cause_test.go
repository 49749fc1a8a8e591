package docker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/services"
)

func TestRecord_SaysWhyAContainerStopped(t *testing.T) {
	died := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(action, signal string, before time.Duration) Event {
		return Event{ID: "c", Action: action, Signal: signal, Time: died.Add(-before)}
	}
	start, die, stop := at("start", "", time.Hour), at("die", "", 0), at("stop", "", -time.Millisecond)
	tick := func(before time.Duration) Event { // anything of the project
		return Event{ID: "other", Action: "exec_start", Time: died.Add(-before)}
	}
	for name, c := range map[string]struct {
		events []Event
		own    string // STOPSIGNAL
		grace  int    // its stop timeout in seconds; 0: the default
		want   services.Cause
		killed time.Duration // before the death
		unseen bool
	}{
		"docker stop":                       {events: []Event{start, at("kill", "15", time.Second), die, stop}, want: services.ByKill, killed: time.Second},
		"docker stop, killed in the end":    {events: []Event{start, at("kill", "15", 10*time.Second), at("kill", "9", time.Second), die, stop}, want: services.ByKill, killed: time.Second},
		"docker kill":                       {events: []Event{start, at("kill", "9", 0), die}, want: services.ByKill},
		"of unknown signal":                 {events: []Event{start, at("kill", "", time.Second), die}, want: services.ByKill, killed: time.Second},
		"stop, its kill forgotten":          {events: []Event{die, stop}, want: services.ByKill, killed: -1},
		"by its own signal":                 {events: []Event{start, at("kill", "10", time.Second), die}, own: "SIGUSR1", want: services.ByKill, killed: time.Second},
		"kill -s TERM, in time":             {events: []Event{start, at("kill", "15", 40*time.Second), die}, want: services.ByKill, killed: 40 * time.Second},
		"kill -s TERM, out of time":         {events: []Event{start, at("kill", "15", 41*time.Second), die}, want: services.ByUnknown},
		"kill -s TERM, nine minutes before": {events: []Event{start, at("kill", "15", 9*time.Minute), die}, want: services.ByUnknown},
		"the same, out of memory then":      {events: []Event{start, at("kill", "15", 9*time.Minute), at("oom", "", 0), die}, want: services.ByUnknown},
		"nine minutes before, and stopped":  {events: []Event{start, at("kill", "15", 9*time.Minute), die, stop}, want: services.ByKill, killed: 9 * time.Minute},
		"of one that is given 5 minutes":    {events: []Event{start, at("kill", "15", 5*time.Minute), die}, grace: 300, want: services.ByKill, killed: 5 * time.Minute},
		"of one that is given an hour":      {events: []Event{start, at("kill", "15", 50*time.Minute), die}, grace: 3600, want: services.ByKill, killed: 50 * time.Minute},
		"of one that is given for ever":     {events: []Event{start, at("kill", "15", 10*time.Minute), die}, grace: -1, want: services.ByKill, killed: 10 * time.Minute},
		"for ever, longer before":           {events: []Event{start, at("kill", "15", 11*time.Minute), die}, grace: -1, want: services.ByCrash},
		"of one that is given a second":     {events: []Event{start, at("kill", "15", 32*time.Second), die}, grace: 1, want: services.ByUnknown},
		"QUIT for a dump, then a stop":      {events: []Event{start, at("kill", "3", 5*time.Minute), at("kill", "15", time.Second), die}, want: services.ByKill, killed: time.Second},
		"QUIT for a dump, crash after it":   {events: []Event{start, at("kill", "3", 5*time.Minute), die}, want: services.ByUnknown},
		"kill -s TERM that it survived":     {events: []Event{start, at("kill", "15", 11*time.Minute), die}, want: services.ByCrash},
		"killed in the run before":          {events: []Event{at("kill", "9", 5*time.Minute), at("die", "", 5*time.Minute), at("start", "", 4*time.Minute), die}, want: services.ByCrash},
		"crash":                             {events: []Event{start, die}, want: services.ByCrash},
		"crash long after a hang-up":        {events: []Event{start, at("kill", "1", time.Minute), die}, want: services.ByCrash},
		"death by a hang-up":                {events: []Event{start, at("kill", "1", time.Second), die}, want: services.ByUnknown},
		"crash, others long remembered":     {events: []Event{tick(2 * time.Minute), die}, want: services.ByCrash},
		"death, others not long remembered": {events: []Event{tick(time.Second), die}, want: services.ByUnknown},
		"death alone":                       {events: []Event{die}, want: services.ByUnknown},
		"out of memory, little remembered":  {events: []Event{at("oom", "", time.Second), die}, want: services.ByCrash},
		"out of memory while being stopped": {events: []Event{start, at("kill", "15", 2*time.Second), at("oom", "", time.Second), die}, want: services.ByKill, killed: 2 * time.Second},
		"out of memory long before":         {events: []Event{at("oom", "", time.Minute-time.Second), die}, want: services.ByUnknown},
		"no death":                          {events: []Event{start, at("kill", "15", time.Second)}, want: services.ByUnknown, unseen: true},
		"another death":                     {events: []Event{start, at("die", "", time.Hour)}, want: services.ByUnknown, unseen: true},
		"nothing":                           {want: services.ByUnknown, unseen: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecord(c.events)
			of := Container{ID: "c", Name: "c-1", Status: statusExited, ExitCode: 3, StartedAt: died.Add(-time.Hour), FinishedAt: died, StopSignal: c.own}
			if c.grace != 0 {
				of.StopTimeout = &c.grace
			}
			s, found := r.why(of)
			require.Equal(t, c.want, s.Cause)
			require.Equal(t, !c.unseen, found)
			require.Equal(t, died, s.At)
			require.Equal(t, 3, s.ExitCode)
			if c.want == services.ByKill && c.killed >= 0 {
				require.Equal(t, died.Add(-c.killed), s.Killed)
			} else {
				require.Zero(t, s.Killed)
			}
		})
	}
}

func TestRecord_OfAShortRunNeedsNoLongMemory(t *testing.T) {
	died := time.Now()
	c := Container{ID: "c", Status: statusExited, StartedAt: died.Add(-5 * time.Second), FinishedAt: died}
	r := newRecord([]Event{{ID: "other", Action: "exec_die", Time: died.Add(-6 * time.Second)}, {ID: "c", Action: "die", Time: died}})
	s, _ := r.why(c)
	require.Equal(t, services.ByCrash, s.Cause)
	c.Status = statusCreated
	s, found := r.why(c)
	require.False(t, found)
	require.Equal(t, services.ByUnknown, s.Cause, "never started")
}

func TestRecord_IsBounded(t *testing.T) {
	r := newRecord(nil)
	now := time.Now()
	for i := range 10_000 {
		for _, e := range []Event{{Action: "kill", Signal: "1"}, {Action: "oom"}, {Action: "exec_create"}, {Action: "kill", Signal: "15"}} {
			e.ID, e.Time = "c", now.Add(time.Duration(i)*time.Second)
			r.add(e)
		}
	}
	require.Len(t, r.runs["c"], 3)
	r.add(Event{ID: "c", Action: "destroy", Time: now})
	require.Empty(t, r.runs)
}

func TestSignalNumber_ReadsWhatImagesSay(t *testing.T) {
	for s, want := range map[string]int{
		"SIGQUIT": int(unix.SIGQUIT), "quit": int(unix.SIGQUIT), "28": 28, "SIGRTMIN+3": 37, "SIGRTMIN": 34, "RTMAX-2": 62, "SIGNONSENSE": 0, "": 0,
	} {
		require.Equal(t, want, signalNumber(s), s)
	}
	require.True(t, ends("37", "SIGRTMIN+3"))
	require.False(t, ends("1", ""))
	require.True(t, ends("1", "SIGHUP"), "its image says so")
}

// An engine that goes away kills its containers, and starts with an empty memory.
func TestWatched_WhatAnEngineKilledOnItsWayOutIsNobodysWish(t *testing.T) {
	now := time.Now()
	stoppedAt := func(id string, before time.Duration) Container {
		return Container{ID: id, Status: statusExited, FinishedAt: now.Add(-before), StartedAt: now.Add(-time.Hour)}
	}
	en := newWatched(&engine{})
	early, late, crashed := stoppedAt("early", 2*time.Minute), stoppedAt("late", 5*time.Second), stoppedAt("crashed", 4*time.Second)
	list := []Container{early, late, crashed}
	en.past.from = now.Add(-2 * time.Hour)
	for _, c := range list {
		if c.ID != "crashed" {
			en.hear(Event{ID: c.ID, Action: "kill", Signal: "15", Time: c.FinishedAt})
		}
		en.hear(Event{ID: c.ID, Action: "die", Time: c.FinishedAt})
	}
	en.takeAll(list, now)
	causes := func() (out []services.Cause) {
		for _, c := range list {
			out = append(out, en.stop(c).Cause)
		}
		return out
	}
	require.Equal(t, []services.Cause{services.ByKill, services.ByKill, services.ByCrash}, causes())
	en.broke = now
	en.gap(now.Add(time.Minute))
	undecided, at := en.undecided(list)
	require.Equal(t, []Container{late}, undecided)
	require.Equal(t, late.FinishedAt, at)
	en.learn(undecided, newRecord(nil))
	require.Equal(t, []services.Cause{services.ByKill, services.ByUnknown, services.ByCrash}, causes())
	undecided, _ = en.undecided(list)
	require.Empty(t, undecided, "asked once")
	en.takeAll(nil, now)
	require.Empty(t, en.seen)
	require.Empty(t, en.known)
	require.Empty(t, en.past.runs)
}
