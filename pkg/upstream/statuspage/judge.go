package statuspage

import (
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

// judge decides what of a page counts at a time.
type judge struct {
	*answer
	now    time.Time
	well   bool // all that is ours is operational
	events []upstream.Event
	// Components that an incident or a maintenance that counts names, by id: they
	// are not told a second time.
	covered, maintained map[string]bool
}

func (j *judge) report() upstream.Report {
	for i := range j.page.Incidents {
		j.incident(&j.page.Incidents[i])
	}
	for i := range j.page.Maintenances {
		j.maintenance(&j.page.Maintenances[i])
	}
	for i := range j.scope.ours {
		j.component(&j.scope.ours[i])
	}
	if j.scope.whole {
		j.indicator()
	}
	return upstream.Report{Events: j.events}
}

func (j *judge) incident(i *incident) {
	impact := impactOf(i.Impact)
	switch {
	case i.closed(), !j.scope.concerns(i):
		return
	case impact == upstream.ImpactMaintenance:
		j.maintenance(i) // seen where a maintenance was entered as an incident
		return
	case !j.counts(impact), j.onlyWatched(i):
		return
	}
	j.events = append(j.events, j.event(upstream.KindIncident, i, impact, first(i.Started, i.Created)))
	for _, c := range i.Components {
		j.covered[string(c.ID)] = true
	}
}

func (j *judge) maintenance(i *incident) {
	if !j.cfg.Maintenance || !j.scope.concerns(i) || !i.maintains(j.now) {
		return
	}
	j.events = append(j.events, j.event(upstream.KindMaintenance, i, upstream.ImpactMaintenance, i.maintainedSince(j.now)))
	for _, c := range i.Components {
		j.maintained[string(c.ID)] = true
	}
}

// component that is not operational counts, unless what counts already names it. A
// maintenance explains that a component is under maintenance, not that it fails.
func (j *judge) component(c *component) {
	impact := componentImpact(c.Status)
	if !j.counts(impact) || j.covered[string(c.ID)] {
		return
	}
	if impact == upstream.ImpactMaintenance && j.maintained[string(c.ID)] {
		return
	}
	updated := j.past(c.Updated.Time)
	j.events = append(j.events, upstream.Event{
		ID: string(c.ID), Kind: upstream.KindComponent, Name: string(c.Name), Status: string(c.Status), Impact: impact,
		Began: updated, Updated: updated, Components: []string{string(c.Name)}, URL: string(j.page.Page.URL),
	})
}

// indicator rolls the page up. It counts only where it is worse than all that is
// listed: what is listed was judged by itself, and may have been found not to count.
func (j *judge) indicator() {
	impact := impactOf(j.page.Status.Indicator)
	if !j.counts(impact) || upstream.ImpactRank(impact) <= j.listed() {
		return
	}
	j.events = append(j.events, upstream.Event{
		Kind: upstream.KindComponent, Name: string(first(j.page.Page.Name, j.page.Page.ID)), Status: string(first(j.page.Status.Description, j.page.Status.Indicator)),
		Impact: impact, URL: string(j.page.Page.URL),
	})
}

// listed is the rank of the worst that the page lists, whether it counts or not.
func (j *judge) listed() int {
	rank := 0
	for _, c := range j.page.Components {
		rank = max(rank, upstream.ImpactRank(componentImpact(c.Status)))
	}
	for i := range j.page.Incidents {
		if in := &j.page.Incidents[i]; !in.closed() {
			rank = max(rank, upstream.ImpactRank(impactOf(in.Impact)))
		}
	}
	for i := range j.page.Maintenances {
		if j.page.Maintenances[i].maintains(j.now) {
			rank = max(rank, upstream.ImpactRank(upstream.ImpactMaintenance))
		}
	}
	return rank
}

// counts says whether an impact is one that stands in the way. None never is.
func (j *judge) counts(impact string) bool {
	switch impact {
	case upstream.ImpactNone:
		return false
	case upstream.ImpactMaintenance:
		return j.cfg.Maintenance
	default:
		return upstream.ImpactRank(impact) >= upstream.ImpactRank(first(j.cfg.MinImpact, upstream.DefaultMinImpact))
	}
}

// onlyWatched: an incident in monitoring for longer than ignore_monitoring_after
// while all that is ours is operational. Pages forget to resolve.
func (j *judge) onlyWatched(i *incident) bool {
	if j.cfg.IgnoreMonitoringAfter <= 0 || i.Status != "monitoring" || !j.well {
		return false
	}
	since := i.monitoringSince(j.now)
	return !since.IsZero() && j.now.Sub(since) > j.cfg.IgnoreMonitoringAfter
}

func (j *judge) event(kind string, i *incident, impact string, began stamp) upstream.Event {
	e := upstream.Event{
		ID: string(i.ID), Kind: kind, Name: string(i.Name), Status: string(i.Status), Impact: impact,
		Began: j.past(began.Time), Updated: j.past(i.Updated.Time), URL: string(first(i.Link, j.page.Page.URL)),
	}
	for _, c := range i.Components[:min(len(i.Components), maxListed)] {
		e.Components = append(e.Components, string(c.Name))
	}
	return e
}

// past clamps a time of the page to now.
func (j *judge) past(t time.Time) time.Time {
	if t.After(j.now) {
		return j.now
	}
	return t
}

// impactOf an incident or of the indicator. A word that is not known, or none at
// all, is taken for the worst: unknown is not yes.
func impactOf(word text) string {
	switch w := strings.ToLower(string(word)); w {
	case upstream.ImpactNone, upstream.ImpactMaintenance, upstream.ImpactMinor, upstream.ImpactMajor, upstream.ImpactCritical:
		return w
	default:
		return upstream.ImpactCritical
	}
}

// componentImpact of a component's status; a word that is not known is the worst.
func componentImpact(status text) string {
	switch status {
	case "operational":
		return upstream.ImpactNone
	case "under_maintenance":
		return upstream.ImpactMaintenance
	case "degraded_performance":
		return upstream.ImpactMinor
	case "partial_outage":
		return upstream.ImpactMajor
	default: // major_outage
		return upstream.ImpactCritical
	}
}

// first of the values that is not zero.
func first[T comparable](values ...T) (zero T) {
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
