package docker

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/services"
)

// What the events tell of a stop. Times are of the engine's clock.
const (
	// killSlack beyond the time that a container is given to stop is how long before a
	// death a kill is its cause: the engine would have ended it by then.
	killSlack = 30 * time.Second
	// killReach is how long before a death a kill may still have been its cause: some
	// processes take their time, others live on, as those that QUIT makes dump their threads.
	killReach = 10 * time.Minute
	// coverage before a death must be known without a gap, for the want of a kill to
	// mean something. `docker stop` does not need it: its stop event follows the
	// death. It is for `docker kill -s TERM`, of which nothing else tells.
	coverage = time.Minute
	// oomReach is how long before a death the kernel's kill for want of memory is its cause.
	oomReach = 10 * time.Second
	// echo is how soon after a signal that is no wish to end it a death may be its doing.
	echo = 3 * time.Second
	// dieEarly and dieLate bound when the die event comes, seen from FinishedAt: the
	// engine clears up in between.
	dieEarly, dieLate = time.Second, time.Minute
)

// record is what events told of containers: nothing is missing since a time. Of
// each container's run it keeps the newest event of each kind, so that it is bounded.
type record struct {
	from time.Time          // zero: nothing is known
	runs map[string][]Event // by container, since its last start, in the engine's order
}

func newRecord(list []Event) record {
	r := record{runs: map[string][]Event{}}
	if len(list) > 0 {
		r.from = list[0].Time
	}
	for _, e := range list {
		r.add(e)
	}
	return r
}

// add files an event. One that was filed already changes nothing.
func (r *record) add(e Event) {
	if e.Time.Before(r.from) {
		r.from = e.Time
	}
	switch e.Action {
	case "destroy":
		delete(r.runs, e.ID)
	case "start":
		r.runs[e.ID] = []Event{e}
	case "kill", "die", "stop", "oom":
		run := slices.DeleteFunc(r.runs[e.ID], func(o Event) bool { return o.Action == e.Action && o.Signal == e.Signal })
		r.runs[e.ID] = append(run, e)
	}
}

// why says how a container that does not run came to stop, and whether its death
// was found at all.
func (r *record) why(c Container) (services.Stop, bool) {
	s := stopOf(c)
	run := r.runs[c.ID]
	at := slices.IndexFunc(run, func(e Event) bool {
		return e.Action == "die" && e.Time.After(c.FinishedAt.Add(-dieEarly)) && e.Time.Before(c.FinishedAt.Add(dieLate))
	})
	if c.Status == statusCreated || at < 0 {
		return s, false
	}
	die := run[at].Time
	kill, other, oom := before(c, run[:at], die)
	inTime := !kill.IsZero() && die.Sub(kill) <= stopTime(c)+killSlack
	stopped := slices.ContainsFunc(run[at:], func(e Event) bool { return e.Action == "stop" })
	covered := run[0].Action == "start" || !r.from.IsZero() && !r.from.After(later(c.StartedAt, die.Add(-coverage)))
	switch {
	case inTime || stopped:
		s.Cause, s.Killed = services.ByKill, kill
	case !kill.IsZero():
		// Whether it ended so late because of the kill, or survived it and crashed, nobody knows.
	case die.Sub(oom) <= oomReach:
		s.Cause = services.ByCrash
	case !covered, die.Sub(other) <= echo:
		// A kill may have been missed, or a signal that should not have ended it did.
	default:
		s.Cause = services.ByCrash
	}
	return s, true
}

// stopOf is a stop of which the events are not known.
func stopOf(c Container) services.Stop {
	s := services.Stop{Container: c.ID, Name: c.Name, Cause: services.ByUnknown, At: c.FinishedAt, ExitCode: c.ExitCode}
	if c.Status == statusCreated { // it never ran: since then it has not
		s.At = c.CreatedAt
	}
	return s
}

// stopTime is how long a container is given to stop: its own, or the engine's default.
// One that is given for ever has no bound but that of what a kill can cause.
func stopTime(c Container) time.Duration {
	switch {
	case c.StopTimeout == nil:
		return stopDefault
	case *c.StopTimeout < 0:
		return killReach - killSlack
	default:
		return time.Duration(*c.StopTimeout) * time.Second
	}
}

// before finds the newest signal that ends a process, the newest other one, and the
// newest want of memory, in one run before its death.
func before(c Container, run []Event, die time.Time) (kill, other, oom time.Time) {
	for _, e := range run {
		switch {
		case e.Action == "oom":
			oom = e.Time
		case e.Action == "kill" && !ends(e.Signal, c.StopSignal):
			other = later(other, e.Time)
		case e.Action == "kill" && die.Sub(e.Time) <= max(killReach, stopTime(c)+killSlack):
			kill = later(kill, e.Time)
		}
	}
	return kill, other, oom
}

// ends says whether a signal is a wish that the process ends: SIGINT, SIGQUIT,
// SIGKILL, SIGTERM, or the container's own. SIGHUP is not: it means "read your
// configuration again" to most. One that is not known counts as such a wish.
func ends(signal, own string) bool {
	n, err := strconv.Atoi(signal)
	if err != nil {
		return true
	}
	switch unix.Signal(n) {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGKILL, unix.SIGTERM:
		return true
	}
	return own != "" && n == signalNumber(own)
}

// signalNumber of a STOPSIGNAL: "SIGQUIT", "QUIT", "3" or "SIGRTMIN+3"; 0: none.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for base, from := range map[string]int{"SIGRTMIN+": 34, "SIGRTMAX-": 64, "SIGRTMIN": 34, "SIGRTMAX": 64} {
		rest, ok := strings.CutPrefix(name, base)
		n, err := strconv.Atoi("0" + rest)
		switch {
		case !ok || err != nil:
		case strings.HasSuffix(base, "-"):
			return from - n
		default:
			return from + n
		}
	}
	return int(unix.SignalNum(name))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
