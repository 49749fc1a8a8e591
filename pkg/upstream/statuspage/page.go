package statuspage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// summary is the part of summary.json that is used. What is nil was not there.
type summary struct {
	Page *struct {
		ID   text `json:"id"`
		Name text `json:"name"`
		URL  text `json:"url"`
	} `json:"page"`
	Status *struct {
		Indicator   text `json:"indicator"`
		Description text `json:"description"`
	} `json:"status"`
	Components   []component `json:"components"`
	Incidents    []incident  `json:"incidents"`
	Maintenances []incident  `json:"scheduled_maintenances"`
}

type component struct {
	ID      text  `json:"id"`
	Name    text  `json:"name"`
	Status  text  `json:"status"`
	Updated stamp `json:"updated_at"`
	Group   text  `json:"group_id"` // "": none
	IsGroup bool  `json:"group"`
}

// incident or maintenance.
type incident struct {
	ID         text     `json:"id"`
	Name       text     `json:"name"`
	Status     text     `json:"status"`
	Impact     text     `json:"impact"`
	Link       text     `json:"shortlink"`
	Created    stamp    `json:"created_at"`
	Started    stamp    `json:"started_at"`
	Updated    stamp    `json:"updated_at"`
	Monitoring stamp    `json:"monitoring_at"`
	For        stamp    `json:"scheduled_for"`
	Until      stamp    `json:"scheduled_until"`
	Components []named  `json:"components"`
	Updates    []update `json:"incident_updates"`
}

type named struct {
	ID   text `json:"id"`
	Name text `json:"name"`
}

type update struct {
	Status  text  `json:"status"`
	Created stamp `json:"created_at"`
}

// stamp is a time that may be missing or nonsense: zero then, not an error. What the
// page says of times decides about no action alone.
type stamp struct{ time.Time }

// UnmarshalJSON never fails.
func (s *stamp) UnmarshalJSON(b []byte) error {
	var t time.Time
	if json.Unmarshal(b, &t) != nil {
		t = time.Time{}
	}
	s.Time = t.UTC()
	return nil
}

// text from the page: one line without control characters, bounded.
type text string

const maxText = 200

// UnmarshalJSON takes a string or null.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
	if utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText]) + "…"
	}
	*t = text(s)
	return nil
}

// parse an answer. What does not have the shape of a summary is an error: nothing in
// it says that all is well. Maintenances are demanded where they count.
func parse(body []byte, maintenance bool) (*summary, error) {
	s := &summary{}
	if err := json.Unmarshal(body, s); err != nil {
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			return nil, errors.New("answered a web page instead of JSON: is it an Atlassian Statuspage?")
		}
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	if err := keysOnce(body); err != nil {
		return nil, err
	}
	var missing string
	switch {
	case s.Page == nil || (s.Page.ID == "" && s.Page.Name == ""):
		missing = "page"
	case s.Components == nil:
		missing = "components"
	case s.Status == nil || s.Status.Indicator == "":
		missing = "status"
	case s.Incidents == nil:
		missing = "incidents"
	case s.Maintenances == nil && maintenance:
		missing = "scheduled_maintenances"
	default:
		return s, s.check()
	}
	return nil, fmt.Errorf("its answer has no `%s`: is it an Atlassian Statuspage?", missing)
}

// Limits of what is looked at: no page is near them.
const (
	maxComponents = 2000
	maxIncidents  = 1000 // and maintenances
)

// check that everything listed says how it is.
func (s *summary) check() error {
	if n := len(s.Components); n > maxComponents {
		return fmt.Errorf("it lists %d components, at most %d are looked at", n, maxComponents)
	}
	if n := len(s.Incidents) + len(s.Maintenances); n > maxIncidents {
		return fmt.Errorf("it lists %d incidents and maintenances, at most %d are looked at", n, maxIncidents)
	}
	for _, c := range s.Components {
		if c.ID == "" || c.Status == "" {
			return fmt.Errorf("component %q has no id or no status", c.Name)
		}
	}
	for _, list := range [][]incident{s.Incidents, s.Maintenances} {
		for _, i := range list {
			if i.Status == "" {
				return fmt.Errorf("incident %q has no status", i.Name)
			}
		}
	}
	return nil
}
