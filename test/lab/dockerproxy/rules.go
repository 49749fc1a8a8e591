package dockerproxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"time"
)

// Rule is a fault, or a hook, for the requests that it matches. The first rule
// that matches applies. Its parts apply in the order of the fields.
type Rule struct {
	// Method to match; empty: any.
	Method string
	// Path is a regular expression over the path without API version and query.
	Path string
	// Times is how often the rule applies; 0: always.
	Times int

	// Before runs before the request goes on: to remove a container, say.
	Before func()
	// Stall holds the request this long, or until the client gives up.
	Stall time.Duration
	// Status answers with this code and Message instead of asking the engine.
	Status  int
	Message string
	// Cut lets the engine do its work and then closes the connection without an
	// answer: done, but nobody knows.
	Cut bool
	// After runs when the engine has answered, before the client hears of it.
	After func()

	pattern *regexp.Regexp
	used    int
	off     chan struct{} // closed when the rules are cleared: stalls end
}

// AddRule adds a rule after those there are. A bad Path panics, as a test's
// mistake.
func (p *Proxy) AddRule(r Rule) {
	r.pattern = regexp.MustCompile(r.Path)
	r.off = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &r)
}

// ClearRules removes all rules; what they stall goes on.
func (p *Proxy) ClearRules() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		close(r.off)
	}
	p.rules = nil
}

var version = regexp.MustCompile(`^/v[0-9.]+/`)

// ServeHTTP remembers the request, then refuses, breaks or forwards it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule, allowed := p.admit(Call{Method: r.Method, Path: version.ReplaceAllString(r.URL.Path, "/")})
	if !allowed {
		answer(w, http.StatusForbidden, "dockerproxy: read-only: "+r.Method+" "+r.URL.Path+" refused")
		return
	}
	if rule == nil {
		p.upstream.ServeHTTP(w, r)
		return
	}
	if rule.Before != nil {
		rule.Before()
	}
	if rule.Stall > 0 && !stall(r.Context(), rule.Stall, rule.off) {
		return
	}
	switch {
	case rule.Status != 0:
		answer(w, rule.Status, rule.Message)
	case rule.Cut:
		// The engine must not notice that the client is about to be cut off.
		p.upstream.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	default:
		p.forward(w, r, rule)
		return
	}
	if rule.After != nil {
		rule.After()
	}
	if rule.Cut {
		panic(http.ErrAbortHandler)
	}
}

// forward runs After between the engine's answer and the client's.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, rule *Rule) {
	upstream := *p.upstream
	if rule.After != nil {
		upstream.ModifyResponse = func(*http.Response) error {
			rule.After()
			return nil
		}
	}
	upstream.ServeHTTP(w, r)
}

func (p *Proxy) admit(c Call) (*Rule, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c)
	close(p.changed)
	p.changed = make(chan struct{})
	if p.readOnly && c.Method != http.MethodGet && c.Method != http.MethodHead {
		p.violations = append(p.violations, c)
		return nil, false
	}
	for _, r := range p.rules {
		if (r.Method == "" || r.Method == c.Method) && r.pattern.MatchString(c.Path) && (r.Times == 0 || r.used < r.Times) {
			r.used++
			return r, true
		}
	}
	return nil, true
}

// stall answers false when the client gave up first.
func stall(ctx context.Context, d time.Duration, off <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-off:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer has the form of the engine's own errors.
func answer(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) //nolint:errchkjson // the client may be gone
}
