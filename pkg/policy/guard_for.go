package policy

import (
	"fmt"

	"github.com/stellarescrow/remediator/pkg/ledger"
)

// For lets an alert show that it means it: what comes and goes within the time is
// not acted upon.
type For struct{}

// Name of the guard.
func (For) Name() string { return "for" }

// Evaluate refuses until the alert has been firing for the policy's `for`; for a
// policy on resolution, until it has been resolved as long. What a person starts is
// never too young.
func (For) Evaluate(in *Input) Answer {
	if in.Episode.Origin == ledger.OriginRun {
		return Answer{}
	}
	since, what := past(in.Episode.Alert.StartsAt, in.Now), "firing"
	if in.Policy.On == OnResolved {
		if in.Episode.Open {
			return Answer{} // the guard `resolved` refuses
		}
		since, what = resolvedAt(in), "resolved"
	}
	until := since.Add(in.Policy.Settings.For)
	if !until.After(in.Now) {
		return Answer{}
	}
	return Answer{Code: CodeTooYoung, Until: until, Text: fmt.Sprintf("has been %s for %s; the policy waits for %s, until %s",
		what, span(in.Now.Sub(since)), span(in.Policy.Settings.For), clock(until))}
}
