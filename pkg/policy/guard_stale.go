package policy

import (
	"fmt"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

// Stale keeps old alerts from being acted upon when they are first seen: after a
// long outage of remediator, or a re-routed Alertmanager, nobody knows what people
// have done about them meanwhile.
type Stale struct{}

// Name of the guard.
func (Stale) Name() string { return "stale" }

// Evaluate compares the episode's age at first sight with max_alert_age; for a
// policy on resolution, the time since the resolution, by the alert's own word
// where that is earlier than ours. What a person starts is as old as the person says.
func (Stale) Evaluate(in *Input) Answer {
	limit := in.Policy.Settings.MaxAlertAge
	if limit <= 0 || in.Episode.Origin == ledger.OriginRun {
		return Answer{}
	}
	if in.Policy.On == OnResolved {
		if age := in.Now.Sub(resolvedAt(in)); !in.Episode.Open && age > limit {
			return Answer{Code: CodeStale, Text: fmt.Sprintf("resolved %s ago, more than max_alert_age %s", span(age), span(limit))}
		}
		return Answer{}
	}
	if age := past(in.Episode.FirstSeen, in.Now).Sub(in.Episode.FirstStartsAt); age > limit {
		return Answer{Code: CodeStale, Text: fmt.Sprintf("had been firing for %s when first seen, more than max_alert_age %s", span(age), span(limit))}
	}
	return Answer{}
}

// resolvedAt is when the episode ended, by the alert's own word where that is
// earlier than ours.
func resolvedAt(in *Input) time.Time {
	end := past(in.Episode.ClosedAt, in.Now)
	if said := alert.EndsAt(in.Episode.Alert); !said.IsZero() && said.Before(end) {
		return said
	}
	return end
}
