// Package upstream is what third parties say of themselves: the states of their
// status pages, how one state follows another, and nothing of how a page is read.
// Formats of pages are sub-packages (upstream/statuspage).
package upstream

import "time"

// State of an upstream.
type State string

// States. Incident and Maintenance stand in the way of acting; Unknown is a page
// that has given no good answer for stale_after.
const (
	Operational State = "operational"
	Incident    State = "incident"
	Maintenance State = "maintenance"
	Unknown     State = "unknown"
)

// Bad says whether the upstream itself reports trouble.
func (s State) Bad() bool { return s == Incident || s == Maintenance }

// Impacts, from the least.
const (
	ImpactNone        = "none"
	ImpactMaintenance = "maintenance"
	ImpactMinor       = "minor"
	ImpactMajor       = "major"
	ImpactCritical    = "critical"
)

// Event is one thing that a page reports: an incident, a maintenance, or a
// component that is not operational without either.
type Event struct {
	ID         string    `json:"id,omitempty"`
	Kind       string    `json:"kind"` // incident, maintenance, component
	Name       string    `json:"name"`
	Status     string    `json:"status"` // in the page's own words: investigating, in_progress, partial_outage, …
	Impact     string    `json:"impact"`
	Began      time.Time `json:"began,omitzero"`
	Updated    time.Time `json:"updated,omitzero"`
	Components []string  `json:"components,omitempty"`
	URL        string    `json:"url,omitempty"`
}

// Report is one good answer of a page, scoped to what is configured: only events
// that count. No events: operational.
type Report struct {
	Events []Event
}

// Change is a transition, and the data of upstream.changed.
type Change struct {
	Upstream string  `json:"upstream"`
	State    State   `json:"state"`
	Before   State   `json:"before,omitempty"` // "": the first answer ever
	Impact   string  `json:"impact,omitempty"` // the worst of the events
	Events   []Event `json:"events,omitempty"`
	// Since is when trouble began, by the page's own word where it gives one and
	// never in the future; kept while it lasts, also through unknown. For
	// operational and unknown: when that was found.
	Since time.Time `json:"since,omitzero"`
	// AfterIncident: unknown, and the last good answer reported trouble (what was
	// last known is not over because the page went away); or operational, and this
	// is the transition that ends trouble, also where unknown came between.
	AfterIncident bool `json:"after_incident,omitempty"`
	// Ended is when the last trouble was found to be over: set with the change that
	// ends it and kept, also through unknown, until there is trouble again. Guards
	// count resume_after from it. Zero: no end is known.
	Ended time.Time `json:"ended,omitzero"`
	// Text is a sentence for people that names the incident.
	Text string `json:"text"`
}
