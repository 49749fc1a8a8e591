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

// createdGrace is how long a container that was created is taken to be about to be
// started: Compose creates all of them and starts each when what it needs is well.
const createdGrace = 5 * time.Minute

// severity orders states from well to bad: a service is as its worst container.
var severity = []services.State{
	services.Healthy, services.Running, services.Completed, services.Starting,
	services.Unhealthy, services.Stopped, services.Missing, services.Unknown,
}

// stateOf a container at a time. looping: its policy restarts it again and again;
// oneShot: it may end, if successfully.
func stateOf(c Container, now time.Time, looping, oneShot bool) services.State {
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
	case statusCreated:
		if awaited(c, now) {
			return services.Starting
		}
		return services.Stopped
	case statusDead:
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

// awaited says whether a container was created so lately that whoever did is about
// to start it. One that failed to start is not.
func awaited(c Container, now time.Time) bool {
	return c.Status == statusCreated && c.Error == "" && now.Sub(c.CreatedAt) < createdGrace
}

// notYet is what there is to say of a container that is awaited.
func notYet(c Container) string {
	return "was created at " + c.CreatedAt.UTC().Format(time.RFC3339) + " and has not been started yet"
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
	case of.Status == statusCreated && s == services.Starting:
		text = of.Name + " " + notYet(of)
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
