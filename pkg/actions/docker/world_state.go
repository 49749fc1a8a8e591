package docker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stellarescrow/remediator/pkg/services"
)

// A container without an answer from its health check that its restart policy has
// started this often within this time is in a crash loop, even in the moments in
// which it runs. What its health check calls healthy is healthy.
const (
	loopStarts = 3
	loopTime   = time.Minute
)

// severity orders states from well to bad: a service is as its worst container.
var severity = []services.State{
	services.Healthy, services.Running, services.Completed, services.Starting,
	services.Unhealthy, services.Stopped, services.Missing, services.Unknown,
}

// stateOf a container. looping: its policy restarts it again and again; oneShot:
// something waits for its successful end.
func stateOf(c Container, looping, oneShot bool) services.State {
	switch c.Status {
	case statusRunning:
		return runningState(c, looping)
	case statusRestarting, statusPaused:
		return services.Unhealthy
	case statusExited:
		if oneShot && c.ExitCode == 0 && c.Error == "" && (c.Restarts == "" || c.Restarts == "no" || c.Restarts == "on-failure") {
			return services.Completed
		}
		return services.Stopped
	case statusCreated, statusDead:
		return services.Stopped
	case statusRemoving:
		return services.Missing
	default:
		return services.Unknown
	}
}

func runningState(c Container, looping bool) services.State {
	switch {
	case c.Health == "healthy":
		return services.Healthy
	case c.Health == "unhealthy", looping:
		return services.Unhealthy
	case c.Health == "":
		return services.Running
	default:
		return services.Starting
	}
}

// stands says whether a container neither runs nor is about to: a stop that has a cause.
func stands(c Container) bool {
	return c.Status == statusExited || c.Status == statusCreated || c.Status == statusDead
}

// worst is the state of a service by its containers, in the order of their numbers,
// and a few words about the one that decides. One that is being removed does not
// count beside another.
func worst(list []Container, state func(Container) services.State) (services.State, string) {
	if kept := slices.DeleteFunc(slices.Clone(list), func(c Container) bool { return c.Status == statusRemoving }); len(kept) > 0 {
		list = kept
	}
	if len(list) == 0 {
		return services.Missing, ""
	}
	of := slices.MaxFunc(list, func(a, b Container) int { // the first of equals
		return cmp.Compare(slices.Index(severity, state(a)), slices.Index(severity, state(b)))
	})
	s, text := state(of), describe(of)
	switch {
	case of.Status == "":
		text = of.Name + " cannot be looked at: " + of.Error
	case s == services.Unhealthy && of.Status == statusRunning && of.Health != "unhealthy":
		text += ", again and again"
	}
	if len(list) > 1 {
		bad := 0
		for _, c := range list {
			if state(c) == s {
				bad++
			}
		}
		text += fmt.Sprintf(" (%d of %d containers %s)", bad, len(list), s)
	}
	return s, text
}
