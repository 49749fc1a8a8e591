package handlers

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// UpstreamLine is the state of a third party, in short.
type UpstreamLine struct {
	Name   string    `json:"name"`
	State  string    `json:"state"` // operational, incident, maintenance or unknown
	Impact string    `json:"impact,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Text   string    `json:"text,omitempty"`
	// Ended is when its last trouble was over, as long as guards still hold because of
	// it: until Holds. Both only in a status.
	Ended time.Time `json:"ended,omitzero"`
	Holds time.Time `json:"holds,omitzero"`
}

// Upstream adds what its page reports and how reading it goes.
type Upstream struct {
	UpstreamLine
	Events    []upstream.Event `json:"events"`
	LastGood  time.Time        `json:"last_good,omitzero"` // last answer that could be read
	LastError string           `json:"last_error,omitempty"`
	NextPoll  time.Time        `json:"next_poll,omitzero"`
}

// Alert is an open episode with the newest decision of each policy on it.
type Alert struct {
	Episode     string             `json:"episode"`
	Fingerprint string             `json:"fingerprint"`
	Labels      map[string]string  `json:"labels"`
	StartsAt    time.Time          `json:"starts_at"`
	Origin      string             `json:"origin"` // webhook, upstream or run
	Decided     map[string]Decided `json:"decided"`
	Waiting     []Waiting          `json:"waiting"` // policies that are asked again
}

// Decided is the newest decision of one policy.
type Decided struct {
	Verdict     string    `json:"verdict"`
	Code        string    `json:"code"`
	Mode        string    `json:"mode"`
	Time        time.Time `json:"time"`
	Remediation string    `json:"remediation,omitempty"`
}

// Waiting is when a policy is asked again. Without a time it waits for an event.
type Waiting struct {
	Policy string    `json:"policy"`
	Next   time.Time `json:"next,omitzero"`
}

// Policy is one of the configuration in force.
type Policy struct {
	Name        string  `json:"name"`
	Runbook     string  `json:"runbook,omitempty"`
	Severity    string  `json:"severity,omitempty"`
	Mode        string  `json:"mode"`
	On          string  `json:"on"`
	Manual      bool    `json:"manual"`
	Breaker     Breaker `json:"breaker"`
	Remediation string  `json:"remediation,omitempty"` // under way
}

// Breaker is how a policy has done lately.
type Breaker struct {
	State    string    `json:"state"`    // closed, open, trial (the next one decides), or none
	Failures int       `json:"failures"` // in a row
	Last     time.Time `json:"last,omitzero"`
	Until    time.Time `json:"until,omitzero"` // open until then
}

// Active is a remediation under way. Text says why it is held.
type Active struct {
	ID      string    `json:"id"`
	Policy  string    `json:"policy"`
	Mode    string    `json:"mode"`
	State   string    `json:"state"`
	Targets []string  `json:"targets,omitempty"`
	Since   time.Time `json:"since"`
	Text    string    `json:"text,omitempty"`
}

// Firing is an open alert that a policy leaves alone, with its newest decision.
type Firing struct {
	Episode string    `json:"episode"`
	Alert   string    `json:"alert,omitempty"` // its name
	Policy  string    `json:"policy"`
	Since   time.Time `json:"since"` // that the alert fires
	Verdict string    `json:"verdict"`
	Code    string    `json:"code"`
	Text    string    `json:"text,omitempty"`
}

// DockerLine is an engine that cannot be looked at, and why.
type DockerLine struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

// upstreams is GET /api/v1/upstreams, by name.
func (a *api) upstreams(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	list, err := a.Reader.Upstreams(r.Context())
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Events = listed(list[i].Events)
	}
	return writePage(w, r, list, func(u Upstream) string { return u.Name })
}

// alerts is GET /api/v1/alerts: open episodes by id, which is their age.
func (a *api) alerts(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	list, err := a.Reader.Alerts(r.Context())
	if err != nil {
		return err
	}
	return writePage(w, r, list, func(e Alert) string { return e.Episode })
}

// policies is GET /api/v1/policies, by name.
func (a *api) policies(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	list, err := a.Reader.Policies(r.Context())
	if err != nil {
		return err
	}
	return writePage(w, r, list, func(p Policy) string { return p.Name })
}

// writePage answers the part of a list that limit and after select, in the order of
// its keys. A page goes on behind a key also when what had that key is gone.
func writePage[T any](w http.ResponseWriter, r *http.Request, list []T, key func(T) string) error {
	limit, after, err := parsePage(r.URL.Query())
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	list = slices.DeleteFunc(list, func(one T) bool { return after != "" && key(one) <= after })
	page := Page[T]{Items: listed(list)}
	if len(list) > limit {
		page.Items, page.Next = list[:limit], key(list[limit-1])
	}
	return writeJSON(w, page)
}

func parsePage(v url.Values) (limit int, after string, err error) {
	limit = defaultLimit
	for name, values := range v {
		switch {
		case len(values) != 1:
			return 0, "", badQuery(name, "given %d times, want once", len(values))
		case name == "after":
			after = values[0]
		case name != "limit":
			return 0, "", badQuery(name, "not known: want limit, after")
		default:
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 || n > maxLimit {
				return 0, "", badQuery(name, "want a number from 1 to %d", maxLimit)
			}
			limit = n
		}
	}
	return limit, after, nil
}
