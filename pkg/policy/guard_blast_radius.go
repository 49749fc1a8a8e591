package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/services"
)

// BlastRadius holds back when much is broken at once: then the cause is larger than
// any one service, and restarting them one by one makes it worse.
type BlastRadius struct{}

// Name of the guard.
func (BlastRadius) Name() string { return "blast_radius" }

// Evaluate counts root causes beside what the decision is about: declared services
// that are down while nothing that they need is, and targets under other
// remediations, each once.
func (BlastRadius) Evaluate(in *Input) Answer {
	if in.MaxUnhealthy < 0 || len(in.Possible) == 0 { // what changes nothing makes nothing worse
		return Answer{}
	}
	causes := rootCauses(in)
	if len(causes) <= in.MaxUnhealthy {
		return Answer{}
	}
	list := make([]string, 0, len(causes))
	for _, t := range slices.Sorted(maps.Keys(causes)) {
		list = append(list, fmt.Sprintf("%s (%s)", t, causes[t]))
	}
	return Answer{Code: CodeBlastRadius, Text: fmt.Sprintf("unhealthy or being worked on, beside what this is about: %s (%d; max_unhealthy is %d)",
		strings.Join(list, ", "), len(list), in.MaxUnhealthy)}
}

// rootCauses are the targets that count, each with what it is.
func rootCauses(in *Input) map[string]string {
	out := map[string]string{}
	for _, s := range in.World.All() {
		if s.Declared && down(s) && !mine(in, s.Target) && !leftStopped(in, s) && !explained(in.World, s) {
			out[s.Target] = string(s.State)
		}
	}
	for t := range in.Busy {
		if r := busyElsewhere(in, t); r != "" && !mine(in, t) {
			out[t] = "under remediation " + r
		}
	}
	return out
}

// down: also what was down when it was last seen and cannot be looked at now.
func down(s services.Service) bool {
	return s.Seen() == services.Unhealthy || s.Seen() == services.Stopped
}

// leftStopped: persons stopped all of it and want it so.
func leftStopped(in *Input, s services.Service) bool {
	return s.Seen() == services.Stopped && len(s.Stops) > 0 && !slices.ContainsFunc(s.Stops, func(stop services.Stop) bool {
		return !byPerson(in, s.Target, stop)
	})
}

// explained says whether something that the service needs is down itself. Services
// that need each other in a circle explain nothing: each counts.
func explained(w services.World, s services.Service) bool {
	return slices.ContainsFunc(w.Needs(s.Target), func(n services.Need) bool {
		d := w.Get(n.Target)
		circle := slices.ContainsFunc(w.Needs(n.Target), func(back services.Need) bool { return back.Target == s.Target })
		return (down(d) || d.State == services.Missing && d.Declared) && !circle
	})
}
