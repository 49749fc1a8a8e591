// Package problem is the form of every error that leaves over HTTP: RFC 9457
// problem details, with a stable code for programs. Handlers write them, the
// client reads them.
package problem

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// ContentType of a problem.
const ContentType = "application/problem+json"

// Problem is one error of the HTTP interface, and an error of Go. Type is always
// "about:blank": Title is the status' own phrase and Code tells the cases apart.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Instance  string `json:"instance,omitempty"` // path of the request
	Code      string `json:"code"`
	RequestID string `json:"request_id,omitempty"`

	// Extensions are further members (RFC 9457): what a program can use of the
	// case at hand. They cannot replace the members above.
	Extensions map[string]json.RawMessage `json:"-"`
	// Headers to send along: Allow, Retry-After, WWW-Authenticate.
	Headers http.Header `json:"-"`
	// Err is the cause, for the log; it never leaves.
	Err error `json:"-"`
}

// New is a problem with a detail in the manner of fmt.Sprintf.
func New(status int, code, format string, args ...any) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status),
		Status: status, Code: code, Detail: fmt.Sprintf(format, args...),
	}
}

// With adds a header.
func (p *Problem) With(name, value string) *Problem {
	if p.Headers == nil {
		p.Headers = http.Header{}
	}
	p.Headers.Add(name, value)
	return p
}

// Extend adds the members of v, which must be written as a JSON object, beside the
// problem's own.
func (p *Problem) Extend(v any) *Problem {
	b, err := json.Marshal(v)
	if err != nil {
		return p // the problem itself matters more than its company
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(b, &members) == nil {
		p.Extensions = foreign(members)
	}
	return p
}

// Extension decodes one further member into v; false: there is none such.
func (p *Problem) Extension(name string, v any) bool {
	raw, ok := p.Extensions[name]
	return ok && json.Unmarshal(raw, v) == nil
}

// own are the members that every problem has.
var own = []string{"type", "title", "status", "detail", "instance", "code", "request_id"}

func foreign(members map[string]json.RawMessage) map[string]json.RawMessage {
	for _, name := range own {
		delete(members, name)
	}
	return members
}

// plain is a Problem without its methods.
type plain Problem

// MarshalJSON writes the extensions beside the problem's own members.
func (p *Problem) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal((*plain)(p))
	if err != nil || len(p.Extensions) == 0 {
		return b, err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, err
	}
	for name, value := range p.Extensions {
		if _, taken := members[name]; !taken {
			members[name] = value
		}
	}
	return json.Marshal(members)
}

// UnmarshalJSON reads a problem with its extensions.
func (p *Problem) UnmarshalJSON(b []byte) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	if err := json.Unmarshal(b, (*plain)(p)); err != nil {
		return err
	}
	if members = foreign(members); len(members) > 0 {
		p.Extensions = members
	}
	return nil
}

// Because adds the cause, for the log.
func (p *Problem) Because(err error) *Problem {
	p.Err = err
	return p
}

// Unavailable is a 503 that asks to come back: the only answer that Alertmanager
// tries again (it drops every other refusal, 429 included).
func Unavailable(after time.Duration, code, format string, args ...any) *Problem {
	seconds := max(1, int(after.Seconds()))
	return New(http.StatusServiceUnavailable, code, format, args...).With("Retry-After", strconv.Itoa(seconds))
}

// Error says status, code and detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s (%s)", p.Status, p.Title, p.Code)
	}
	return fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Code)
}

// Unwrap is the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Write sends the problem as the whole response.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, p.Headers)
	h.Set("Content-Type", ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) //nolint:errchkjson // the peer is gone, there is nobody to tell
}
