package policy

import (
	"fmt"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
)

// Flapping keeps its hands off an alert that comes and goes: each time it looks as
// if something helped, and nothing does.
type Flapping struct{}

// Name of the guard.
func (Flapping) Name() string { return "flap" }

// Evaluate refuses while the alert flaps. What a person starts does not.
func (Flapping) Evaluate(in *Input) Answer {
	if in.Flap.Changes <= 0 || in.Episode.Origin == ledger.OriginRun {
		return Answer{}
	}
	openings := in.History.Openings(in.Episode.Fingerprint)
	for i, t := range openings {
		openings[i] = past(t, in.Now)
	}
	n := in.Flap.flaps(openings)
	if n == 0 {
		return Answer{}
	}
	until := openings[len(openings)-1].Add(in.Flap.Clear)
	if !until.After(in.Now) {
		return Answer{}
	}
	return Answer{Code: CodeFlapping, Until: until, Text: fmt.Sprintf(
		"the alert flaps: it fired anew %d times within %s (%d are too many); lifts at %s unless it fires anew before that (clear %s)",
		n, span(in.Flap.Within), in.Flap.Changes, clock(until), span(in.Flap.Clear))}
}

// flaps is how many openings lie within the window before the last one, if the alert
// flaps since that one, else 0. It begins with enough openings in the window, and
// lasts for as long as each comes within Clear of the one before.
func (f Flap) flaps(openings []time.Time) int {
	flaps, first := false, 0
	for i, t := range openings {
		for !openings[first].After(t.Add(-f.Within)) && first < i {
			first++
		}
		stays := flaps && t.Sub(openings[i-1]) < f.Clear
		flaps = stays || i-first+1 >= f.Changes
	}
	if !flaps {
		return 0
	}
	return len(openings) - first
}
