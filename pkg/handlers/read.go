package handlers

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// Sizes of a page of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

var plainID = regexp.MustCompile(`^[a-z0-9-]{1,128}$`)

// healthy is GET /-/healthy: the process answers.
func (a *api) healthy(w http.ResponseWriter, _ *http.Request, _ access.Identity) error {
	return writeText(w, "remediator is healthy\n")
}

// ready is GET /-/ready: notifications can be taken.
func (a *api) ready(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	if err := a.Health.Ready(r.Context()); err != nil {
		return problem.Unavailable(retryAfter, "not_ready", "not ready: %v", err)
	}
	return writeText(w, "remediator is ready\n")
}

func writeText(w http.ResponseWriter, s string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(s))
	return nil
}

func (a *api) showMetrics(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	a.Metrics.ServeHTTP(w, r)
	return nil
}

// status is GET /api/v1/status.
func (a *api) status(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	s, err := a.Reader.Status(r.Context())
	if err != nil {
		return err
	}
	// Empty lists, never null.
	s.Pauses, s.Active, s.AwaitingApproval = listed(s.Pauses), listed(s.Active), listed(s.AwaitingApproval)
	s.Quarantined, s.Upstreams = listed(s.Quarantined), listed(s.Upstreams)
	s.Firing, s.Docker = listed(s.Firing), listed(s.Docker)
	return writeJSON(w, s)
}

// remediations is GET /api/v1/remediations, newest first, filtered by state,
// policy, target, alert, since, until; limit and after page through it.
func (a *api) remediations(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := a.Reader.Remediations(r.Context(), q)
	if err != nil {
		return err
	}
	page.Items = listed(page.Items)
	return writeJSON(w, page)
}

// listed is an empty list in place of none: JSON has no null for lists here.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// parseQuery refuses what it does not know: a misspelt filter would select all.
func parseQuery(v url.Values) (RemediationQuery, error) {
	q := RemediationQuery{Limit: defaultLimit}
	texts := map[string]*string{"state": &q.State, "policy": &q.Policy, "target": &q.Target, "alert": &q.Alert, "after": &q.After}
	times := map[string]*time.Time{"since": &q.Since, "until": &q.Until}
	for name, values := range v {
		if len(values) != 1 {
			return q, badQuery(name, "given %d times, want once", len(values))
		}
		value := values[0]
		if text, known := texts[name]; known {
			*text = value
			continue
		}
		if at, known := times[name]; known {
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return q, badQuery(name, "want an RFC 3339 time")
			}
			*at = t
			continue
		}
		if name != "limit" {
			return q, badQuery(name, "not known: want state, policy, target, alert, since, until, limit, after")
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxLimit {
			return q, badQuery(name, "want a number from 1 to %d", maxLimit)
		}
		q.Limit = n
	}
	return q, nil
}

func badQuery(name, format string, args ...any) error {
	return problem.New(http.StatusBadRequest, "invalid_query", "query parameter %q: "+format, append([]any{clip(name)}, args...)...)
}

// remediation is GET /api/v1/remediations/{id}.
func (a *api) remediation(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	detail, err := a.Reader.Remediation(r.Context(), id)
	if err != nil {
		return err
	}
	detail.Records = listed(detail.Records)
	return writeJSON(w, detail)
}

// pathID is the id in the path; what cannot be one is not found.
func pathID(r *http.Request) (string, error) {
	id := chi.URLParam(r, "id")
	if !plainID.MatchString(id) {
		return "", problem.New(http.StatusNotFound, "not_found", "%q is no id: ids consist of a-z, 0-9 and -", clip(id))
	}
	return id, nil
}
