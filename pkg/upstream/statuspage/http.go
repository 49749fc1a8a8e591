package statuspage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	timeout = 10 * time.Second // of everything; the caller's context may be shorter
	maxBody = 2 << 20          // bytes
	maxHops = 3
)

// errUnchanged: the page answered 304.
var errUnchanged = errors.New("the page says it has not changed, but was not asked that")

// gone ends what says that the page is not public any more.
const gone = "was the page switched off or made private?"

func client() *http.Client {
	return &http.Client{
		Timeout: timeout, CheckRedirect: redirect,
		// A copy: the watch's connections are its own.
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
	}
}

// redirect follows within the host only, and to no login: what answers elsewhere is
// not the page that was configured.
func redirect(to *http.Request, via []*http.Request) error {
	from := via[0].URL
	upgraded := from.Scheme == "http" && to.URL.Scheme == "https" && from.Hostname() == to.URL.Hostname()
	same := from.Scheme == to.URL.Scheme && strings.EqualFold(from.Host, to.URL.Host)
	switch {
	case !upgraded && !same, login(to.URL):
		return &movedError{to: to.URL}
	case len(via) > maxHops:
		return fmt.Errorf("redirects more than %d times", maxHops)
	}
	return nil
}

// login says whether an address is where a page that is not public sends people.
func login(u *url.URL) bool {
	words := strings.FieldsFunc(strings.ToLower(u.Path), func(r rune) bool { return r == '/' || r == '.' })
	return slices.ContainsFunc(words, func(w string) bool {
		return slices.Contains([]string{"login", "signin", "sign_in", "sign-in", "access", "auth", "sso", "inactive"}, w)
	})
}

// movedError is a redirect that is not followed.
type movedError struct{ to *url.URL }

func (e *movedError) Error() string {
	to := url.URL{Scheme: e.to.Scheme, Host: e.to.Host, Path: e.to.Path} // a login's query may hold a token
	return "redirects to " + to.String() + ": " + gone
}

// get the page: its bytes and their ETag, or errUnchanged.
func (p *Page) get(ctx context.Context) (body []byte, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), http.NoBody)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("User-Agent", p.agent)
	req.Header.Set("Accept", "application/json")
	if p.last != nil && p.etag != "" {
		req.Header.Set("If-None-Match", p.etag)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // it repeats the address
		}
		return nil, "", err
	}
	defer resp.Body.Close()
	if err := status(resp); err != nil {
		return nil, "", err
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, "", fmt.Errorf("its answer broke off: %w", err)
	}
	if len(body) > maxBody {
		return nil, "", fmt.Errorf("its answer is larger than %d MiB", maxBody>>20)
	}
	return body, resp.Header.Get("ETag"), nil
}

// status of an answer: nil for a page.
func status(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotModified:
		return errUnchanged
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("answered %s: %s", resp.Status, gone)
	case http.StatusNotFound:
		return fmt.Errorf("answered %s: is it an Atlassian Statuspage?", resp.Status)
	case http.StatusTooManyRequests:
		return fmt.Errorf("answered %s: a longer interval is needed", resp.Status)
	default:
		return fmt.Errorf("answered %s", resp.Status)
	}
}
