// Package statuspage reads Atlassian Statuspage: GET /api/v2/summary.json, and what
// of it concerns the components that are configured.
package statuspage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

const path = "/api/v2/summary.json"

// Page is an upstream.Source for one configured upstream. It keeps the last good
// answer and its ETag, so that a page that has not changed is not sent again.
type Page struct {
	cfg   upstream.Config
	url   *url.URL
	agent string
	http  *http.Client

	etag string   // of last; "": it had none
	last *summary // good, with everything on it that is configured; nil: none yet
}

var _ upstream.Source = (*Page)(nil)

// New makes a Source; it connects to nothing yet. agent is its User-Agent.
func New(cfg upstream.Config, agent string) (*Page, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		// It may hold a password where no parser finds it, so it is not quoted.
		return nil, fmt.Errorf("upstream %q: statuspage is no address of a page: want https://host", cfg.Name)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("upstream %q: statuspage must be the page's address alone, without user, query or fragment: want https://%s", cfg.Name, u.Host)
	}
	return &Page{cfg: cfg, url: u.JoinPath(path), agent: agent, http: client()}, nil
}

// Fetch asks the page once, see upstream.Source. A configured component that is not
// on the page is an error: its state is not known.
func (p *Page) Fetch(ctx context.Context) (upstream.Answer, error) {
	body, etag, err := p.get(ctx)
	switch {
	case errors.Is(err, errUnchanged) && p.last != nil:
		return p.answer(p.last)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", p.url, err)
	}
	s, err := parse(body, p.cfg.Maintenance)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.url, err)
	}
	a, err := p.answer(s)
	if err != nil {
		return nil, err
	}
	p.last, p.etag = s, etag
	return a, nil
}

func (p *Page) answer(s *summary) (upstream.Answer, error) {
	sc, err := newScope(s, p.cfg.Components)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.url, err)
	}
	return &answer{cfg: p.cfg, page: s, scope: sc}, nil
}

// answer is a page within a scope, to be judged when it is used.
type answer struct {
	cfg   upstream.Config
	page  *summary
	scope scope
}

// Judge gives the events that count at now.
func (a *answer) Judge(now time.Time) upstream.Report {
	j := judge{answer: a, now: now, well: a.scope.well(), covered: map[string]bool{}, maintained: map[string]bool{}}
	return j.report()
}
