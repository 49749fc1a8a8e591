package policy

import (
	"fmt"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/services"
)

// HumanOverride respects a stop that a person made: what somebody switched off is
// not switched on again behind their back.
type HumanOverride struct{}

// stopSlack is how long after an effect of ours a stop may still be its doing.
const stopSlack = 5 * time.Second

// Name of the guard.
func (HumanOverride) Name() string { return "human_override" }

// Evaluate looks at each container that does not run of each service that would be
// started. A known person's stop is never overruled; one of unknown cause is, where
// the step says so (`when_stopped: start`), and else a person is asked.
func (HumanOverride) Evaluate(in *Input) Answer {
	var found []Answer
	for _, e := range in.Effects {
		if !startsContainers(e.Uses) {
			continue
		}
		service := in.World.Get(e.Target)
		if service.State == services.Unknown && !in.World.At().IsZero() { // and what is known of its stops still counts
			found = append(found, Answer{Code: CodeUnconfirmable, Text: fmt.Sprintf(
				"%s cannot be looked at (%s), so whether a person stopped it is not known", e.Target, service.Text)})
		}
		for _, s := range service.Stops {
			found = append(found, overridden(in, e, s))
		}
		found = append(found, underTheirHands(in, service))
	}
	return firmest(found...)
}

// startedGrace is how long a service that a person started again is left alone where
// no health check says how it is.
const startedGrace = time.Minute

// startingGrace is the same where its health check has not answered yet.
const startingGrace = 10 * time.Minute

// underTheirHands: what a person stopped and has just started again is not restarted
// while it starts, although it does not answer yet.
func underTheirHands(in *Input, s services.Service) Answer {
	if s.State != services.Starting && s.State != services.Running {
		return Answer{}
	}
	if in.Episode.Decided[in.Policy.Name].Code != string(CodeStoppedByPerson) {
		return Answer{} // nobody had stopped it in this episode
	}
	stop, ok := in.History.LastPersonStop(s.Target)
	if !ok || s.Since.Before(stop.At) || in.History.Ours(s.Target, stop.At, stopSlack, in.Remediation) {
		return Answer{}
	}
	if last, acted := in.History.LastEffect(s.Target, ""); acted && last.Time.After(stop.At) {
		return Answer{} // it was ours to start since
	}
	a := Answer{Code: CodeStoppedByPerson, Text: fmt.Sprintf(
		"%s was stopped by a person at %s and has been started again since: it gets time to come up", s.Target, clock(stop.At))}
	grace := startedGrace
	if s.State == services.Starting { // its health check will tell, in time
		grace = startingGrace
	}
	if a.Until = past(s.Since, in.Now).Add(grace); !a.Until.After(in.Now) {
		return Answer{}
	}
	return a
}

func overridden(in *Input, e Effect, s services.Stop) Answer {
	what := fmt.Sprintf("container %s of %s was stopped at %s", containerName(s), e.Target, clock(s.At))
	switch {
	case byPerson(in, e.Target, s):
		return Answer{Code: CodeStoppedByPerson, Text: what +
			" by a person (it was killed, and no remediation was at work on it); start it by hand when it may run again"}
	case s.Cause == services.ByCrash, e.StartsStopped, ours(in, e.Target, s):
		return Answer{}
	}
	return Answer{Code: CodeApproval, Text: what +
		", and why is not known (Docker's events of that time are gone); consent to start it, start it by hand, or set when_stopped: start"}
}

// byPerson says whether a stop is known to be a person's: a kill that was not ours,
// or one that was found to be such while Docker's events still told.
func byPerson(in *Input, target string, s services.Stop) bool {
	if ours(in, target, s) {
		return false
	}
	return s.Cause == services.ByKill ||
		in.History.PersonStopped(ledger.StopSeen{Target: target, Container: s.Container, At: s.At})
}

func ours(in *Input, target string, s services.Stop) bool {
	at := s.Killed
	if at.IsZero() {
		at = s.At
	}
	return in.History.Ours(target, at, stopSlack, in.Remediation)
}

func containerName(s services.Stop) string {
	if s.Name != "" {
		return s.Name
	}
	return s.Container[:min(len(s.Container), 12)]
}
