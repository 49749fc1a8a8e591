package httpget

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// answer is what is read of a response.
type answer struct {
	status int
	body   string
	cut    bool // it is longer than maxBody
	took   time.Duration
}

// Check asks once.
func (g *get) Check(ctx context.Context, s actions.Scope) actions.Result {
	u, err := g.address(s)
	if err != nil {
		return unknown("%s", err)
	}
	where := place(u)
	own, cancel := context.WithTimeout(ctx, g.Timeout.Std())
	defer cancel()
	d := &dialer{service: g.Service, local: g.local}
	if g.Service != "" {
		running, err := g.look(own, d)
		if err != nil {
			return unknown("GET %s: Docker could not be asked about %s: %s", where, g.Service, reason(err))
		}
		if !running {
			return actions.Result{Text: fmt.Sprintf("GET %s: no container of %s runs", where, g.Service)}
		}
	}
	a, err := g.ask(own, u, d)
	if err == nil {
		return g.judge(where, a)
	}
	// Only the whole timeout of the check is a time-out: an answer that the caller
	// had no time for says nothing about the service.
	if ctx.Err() != nil {
		return unknown("GET %s: broken off before its timeout of %s", where, g.Timeout)
	}
	return g.failed(own, where, d, err)
}

func unknown(format string, args ...any) actions.Result {
	return actions.Result{Unknown: true, Text: fmt.Sprintf(format, args...)}
}

// look asks Docker for the addresses that hold now.
func (g *get) look(ctx context.Context, d *dialer) (running bool, err error) {
	running, d.ips, d.published, err = g.services.Addresses(ctx, g.Service)
	return running, err
}

// address is what to ask, with the entry's base in front.
func (g *get) address(s actions.Scope) (*url.URL, error) {
	if g.entry == nil {
		raw, err := g.URL.Render(s)
		if err != nil {
			return nil, err
		}
		return parseURL(raw)
	}
	path, err := g.Path.Render(s)
	if err != nil {
		return nil, err
	}
	base, err := parseURL(g.entry.URL)
	if err != nil {
		return nil, fmt.Errorf("http entry %q: %w", g.entry.Name, err)
	}
	if path == "" {
		return base, nil
	}
	u, err := parseURL(strings.TrimSuffix(g.entry.URL, "/") + "/" + strings.TrimPrefix(path, "/"))
	// A rendered path must not lead elsewhere with the entry's credentials.
	if err != nil || base.Host != u.Host || base.Scheme != u.Scheme {
		return nil, fmt.Errorf("the path does not stay at http entry %q", g.entry.Name)
	}
	return u, nil
}

// place is an URL without what may be secret in it.
func place(u *url.URL) string {
	shown := *u
	shown.User, shown.RawQuery, shown.Fragment = nil, "", ""
	return shown.String()
}

// ask sends the request. The connection is made anew each time, to the address
// that holds then, and past any proxy.
func (g *get) ask(ctx context.Context, u *url.URL, d *dialer) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "remediator")
	if g.entry != nil && g.entry.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+g.entry.Bearer)
	}
	client := &http.Client{
		Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != u.Host || next.URL.Scheme != u.Scheme || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	begin := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, body: strings.ToValidUTF8(string(body[:min(len(body), maxBody)]), "\uFFFD"), cut: len(body) > maxBody, took: time.Since(begin)}
	return a, nil
}

func (g *get) judge(where string, a answer) actions.Result {
	out := actions.Result{Outputs: map[string]any{
		"status": a.status, "body": actions.CapHead(g.redactor.Text(a.body), shownBody), "latency_ms": int(a.took.Milliseconds()),
	}}
	good := a.status >= 200 && a.status <= 299
	if len(g.Status) > 0 {
		good = slices.Contains(g.Status, a.status)
	}
	switch {
	case !good:
		out.Text = fmt.Sprintf("GET %s answered %d", where, a.status)
	case g.match == nil || g.match.MatchString(a.body):
		out.OK, out.Text = true, fmt.Sprintf("GET %s answered %d in %d ms", where, a.status, a.took.Milliseconds())
	case a.cut:
		out.Unknown, out.Text = true, fmt.Sprintf("GET %s answered %d with more than %d bytes, the first of which do not match %q", where, a.status, maxBody, g.match)
	default:
		out.Text = fmt.Sprintf("GET %s answered %d, but its body does not match %q", where, a.status, g.match)
	}
	return out
}

// failed says what it means that no answer came (design §6): at an address of the
// service itself it is the service's failure, elsewhere nothing is known about it.
func (g *get) failed(ctx context.Context, where string, d *dialer, err error) actions.Result {
	text := fmt.Sprintf("GET %s: %s", where, g.redactor.Text(reason(err)))
	if g.Service == "" {
		return unknown("%s", text)
	}
	if d.own.Load() && silent(err) {
		return actions.Result{Text: text}
	}
	// Its address may have gone with its container in the meantime.
	if running, err := g.look(ctx, &dialer{}); err == nil && !running {
		return actions.Result{Text: text + ", and no container of " + g.Service + " runs any more"}
	}
	return unknown("%s", text)
}

// reason is an error without the URL, which may hold credentials.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	return err.Error()
}

// silent: refused, reset, end of file or time-out.
func silent(err error) bool {
	var n net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout() || closedIdle(err)
}

// closedIdle: net/http's word for an end of file that came before the request was
// written. Its error is not exported (net/http, transport.go, errServerClosedIdle).
func closedIdle(err error) bool {
	return strings.HasSuffix(err.Error(), "http: server closed idle connection")
}
