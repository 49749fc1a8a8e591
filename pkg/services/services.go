// Package services is what is known of the services that policies act upon: how
// they are, what they depend on, and why one that is stopped stopped. It is pure:
// a technology (pkg/actions/docker) fills it in, guards read it.
package services

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// State of a service: the worst of its containers.
type State string

// States.
const (
	Healthy   State = "healthy"   // running, and its health check says so
	Running   State = "running"   // running; it has no health check
	Starting  State = "starting"  // its health check has not answered yet, or it was created only just now
	Unhealthy State = "unhealthy" // its health check fails, or it restarts again and again, is paused or dead
	Stopped   State = "stopped"   // not running, and it should be
	Completed State = "completed" // a one-shot service, which nobody needs healthy, that ended with exit code 0
	Missing   State = "missing"   // it has no container
	Unknown   State = "unknown"   // could not be looked at
)

// Conditions of a dependency, as Compose names them.
const (
	ConditionStarted   = "service_started"
	ConditionHealthy   = "service_healthy"
	ConditionCompleted = "service_completed_successfully"
)

// Dependency of a service on another.
type Dependency struct {
	Target    string // "docker:local/postgres"
	Condition string // "" where the configuration says so
}

// Cause of a stop.
type Cause string

// Causes of a stop, as Docker's events tell.
const (
	ByKill    Cause = "kill"    // a kill event came before the die: a person, or an intent of ours
	ByCrash   Cause = "crash"   // it died by itself, or the kernel killed it
	ByUnknown Cause = "unknown" // the events were missed
)

// Stop is how a container that does not run came to stop.
type Stop struct {
	Container string    // id
	Name      string    // of the container
	Cause     Cause     // of the newest stop
	At        time.Time // when it stopped, or, where it was never started, was created
	Killed    time.Time // of the kill event, zero without one
	ExitCode  int
}

// Service is one service as it was last seen.
type Service struct {
	Target   string // "docker:local/postgres"
	Name     string // postgres
	Declared bool   // in the configuration: only those are ever touched
	State    State
	// Last is the last state that was seen, where State is Unknown; empty otherwise,
	// and where it was never seen.
	Last State
	Text string // a few words: "postgres-1 exited, exit code 1"
	// Since is when it was first seen in this state, or, where State is Unknown, in Last.
	Since time.Time
	// DependsOn are its direct dependencies, by Compose's labels and the configuration.
	DependsOn []Dependency
	// Stops are its containers that do not run. Where State is Unknown they are the
	// last that are known: not to see is no reason to forget what a person stopped.
	Stops []Stop
}

// Seen is State, or the last that was seen where State is Unknown. It is empty where
// the service was never seen.
func (s Service) Seen() State {
	if s.State == Unknown {
		return s.Last
	}
	return s.State
}

// Well says whether something that needs the service can rely on it.
func (s Service) Well(condition string) bool {
	switch s.State {
	case Healthy, Running:
		return true
	case Completed:
		return condition != ConditionHealthy // it has done what it was started for
	default:
		return false
	}
}

// World is all services by target. It is immutable.
type World struct {
	services map[string]Service
	at       time.Time
}

// NewWorld files services; at is when they were looked at.
func NewWorld(at time.Time, list ...Service) World {
	w := World{services: make(map[string]Service, len(list)), at: at}
	for _, s := range list {
		w.services[s.Target] = s
	}
	return w
}

// Get is a service by its target. What nobody knows is Unknown.
func (w World) Get(target string) Service {
	if s, ok := w.services[target]; ok {
		return s
	}
	return Service{Target: target, Name: target, State: Unknown, Text: "not known"}
}

// At is when the services were looked at.
func (w World) At() time.Time { return w.at }

// All are the services, by target.
func (w World) All() []Service {
	return slices.SortedFunc(maps.Values(w.services), func(a, b Service) int { return cmp.Compare(a.Target, b.Target) })
}

// Need says that one service depends on another.
type Need struct {
	By         string // what depends
	Dependency        // on what, and in which condition
}

// Needs are the dependencies that lead away from a target, direct ones first, then
// theirs, each once. A service that several others need is there once for each of
// them: their conditions may differ. The target itself is never among them, whatever
// circle leads back to it.
func (w World) Needs(target string) []Need {
	var out []Need
	seen := map[string]bool{target: true}
	for queue := []string{target}; len(queue) > 0; queue = queue[1:] {
		for _, d := range w.services[queue[0]].DependsOn {
			n := Need{By: queue[0], Dependency: d}
			if d.Target == target || slices.Contains(out, n) {
				continue
			}
			out = append(out, n)
			if !seen[d.Target] {
				seen[d.Target] = true
				queue = append(queue, d.Target)
			}
		}
	}
	return out
}
