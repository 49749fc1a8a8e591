package policy

import (
	"fmt"
	"time"
)

// Limits bounds remediations with an effect in any window, per target and over
// all, so that a remediator that does not help cannot hide the fault for ever.
type Limits struct{}

// Name of the guard.
func (Limits) Name() string { return "limits" }

// Evaluate counts the windows that end now. A remediation that has had an effect
// is counted among all already: another target of it adds none, so the global
// limit is not asked again.
func (Limits) Evaluate(in *Input) Answer {
	if len(in.Targets) == 0 { // nothing is changed
		return Answer{}
	}
	var out Answer
	if in.Remediation == "" || !in.History.HadEffect(in.Remediation) {
		for _, l := range in.GlobalLimits {
			out = later(out, limited(in, "", "all targets together", "global limit", l))
		}
	}
	for _, t := range in.Targets {
		for _, l := range in.Policy.Settings.Limits {
			out = later(out, limited(in, t, t, "limit", l))
		}
	}
	return out
}

// later of two answers lifts last; one that time does not lift is later than any.
func later(a, b Answer) Answer {
	switch {
	case b.Allows():
		return a
	case a.Allows():
		return b
	case a.Until.IsZero() || !b.Until.IsZero() && !b.Until.After(a.Until):
		return a
	}
	return b
}

func limited(in *Input, target, name, what string, l Limit) Answer {
	if l.Max <= 0 {
		return Answer{Code: CodeRateLimit, Text: fmt.Sprintf("%s: %s is %d per %s: nothing is allowed", name, what, l.Max, span(l.Per))}
	}
	times := in.History.Effects(target, in.Remediation, in.Now.Add(-l.Per))
	if len(times) < l.Max {
		return Answer{}
	}
	until := past(times[len(times)-l.Max], in.Now).Add(l.Per)
	return Answer{Code: CodeRateLimit, Until: until, Text: fmt.Sprintf("%s: %d remediations in the last %s, %s is %d; lifts at %s",
		name, len(times), span(l.Per), what, l.Max, until.UTC().Format(time.RFC3339))}
}
