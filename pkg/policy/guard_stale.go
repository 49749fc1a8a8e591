package policy

import (
	"fmt"

	"github.com/stellarescrow/remediator/pkg/alert"
)

// Stale keeps old alerts from being acted upon when they are first seen: after a
// long outage of remediator, or a re-routed Alertmanager, nobody knows what people
// have done about them meanwhile.
type Stale struct{}

// Name of the guard.
func (Stale) Name() string { return "stale" }

// Evaluate compares the episode's age at first sight with max_alert_age; for a
// policy on resolution, the time since the resolution, by the alert's own word
// where that is earlier than ours.
func (Stale) Evaluate(in *Input) Answer {
	limit := in.Policy.Settings.MaxAlertAge
	if limit <= 0 {
		return Answer{}
	}
	if in.Policy.On == OnResolved {
		end := past(in.Episode.ClosedAt, in.Now)
		if said := alert.EndsAt(in.Episode.Alert); !said.IsZero() && said.Before(end) {
			end = said
		}
		if age := in.Now.Sub(end); !in.Episode.Open && age > limit {
			return Answer{Code: CodeStale, Text: fmt.Sprintf("resolved %s ago, more than max_alert_age %s", span(age), span(limit))}
		}
		return Answer{}
	}
	if age := past(in.Episode.FirstSeen, in.Now).Sub(in.Episode.FirstStartsAt); age > limit {
		return Answer{Code: CodeStale, Text: fmt.Sprintf("had been firing for %s when first seen, more than max_alert_age %s", span(age), span(limit))}
	}
	return Answer{}
}
