package httprequest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// Request is what is sent.
type Request struct {
	Method string
	URL    *url.URL
	Body   string // "": none
	Key    string // Idempotency-Key
}

// Answer is what came back, the entry's bearer taken out.
type Answer struct {
	Status int
	Body   string
	Took   time.Duration // until the body was read
}

// Doer sends a request, once. It is the only thing here that can change anything.
// Its errors say what is known: CodeUnreachable when nothing was sent,
// CodeOutcomeUnknown when no whole answer came.
type Doer interface {
	Do(ctx context.Context, r Request) (Answer, error)
}

// Hands are the clients that can change something, for actions.NewHands: one for
// each entry, "http:<entry>". They alone hold the bearers.
func Hands(entries []Entry, services Services) map[string]any {
	out := map[string]any{}
	for _, e := range entries {
		out["http:"+e.Name] = Doer(&sender{entry: e, services: services, redactor: actions.NewRedactor([]string{e.Bearer})})
	}
	return out
}

type sender struct {
	entry    Entry
	services Services
	redactor *actions.Redactor
}

// Do implements Doer.
func (d *sender) Do(ctx context.Context, r Request) (Answer, error) {
	var ips []netip.Addr
	if d.entry.Service != "" {
		var err error
		if ips, err = lookUp(ctx, d.services, d.entry.Service); err != nil {
			return Answer{}, err
		}
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// From here on some of it may have left: the first bytes are written by another
		// goroutine.
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := d.build(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	begin := time.Now()
	a, err := d.exchange(req, ips)
	a.Took = time.Since(begin)
	switch {
	case err == nil:
		return a, nil
	case sent.Load():
		return Answer{}, fail(actions.CodeOutcomeUnknown, "the request was sent, and no whole answer came: %s", d.reason(err))
	default:
		return Answer{}, fail(actions.CodeUnreachable, "nothing was sent: %s", d.reason(err))
	}
}

func (d *sender) build(ctx context.Context, r Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), strings.NewReader(r.Body))
	if err != nil {
		return nil, fail(actions.CodeFailed, "bad request; nothing was sent")
	}
	req.Header.Set("User-Agent", "remediator")
	req.Header.Set("Idempotency-Key", r.Key)
	switch {
	case r.Body == "":
	case isJSON(r.Body):
		req.Header.Set("Content-Type", "application/json")
	default:
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if d.entry.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+d.entry.Bearer)
	}
	return req, nil
}

// exchange sends a request and reads the answer. It is a round trip and no client's
// call, so that a redirect is an answer like any other. net/http by itself repeats
// a request with an Idempotency-Key that is lost on a connection used before: so
// none is used twice, and HTTP/2, which has repeats of its own, is not spoken.
func (d *sender) exchange(req *http.Request, ips []netip.Addr) (Answer, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, Proxy: nil,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dial(ctx, network, addr, ips)
		},
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return Answer{}, err
	}
	// Cut between words before the bearer is looked for, and not within it.
	text := actions.CapHead(strings.ToValidUTF8(string(body), "\uFFFD"), maxBody)
	return Answer{Status: res.StatusCode, Body: d.redactor.Text(text)}, nil
}

// dial connects. A host that equals the entry's service is dialled at its
// containers: services are often not published, and their addresses change.
func (d *sender) dial(ctx context.Context, network, addr string, ips []netip.Addr) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if d.entry.Service == "" || host != d.entry.Service {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	errs := []error{fmt.Errorf("no container of %s answers", host)}
	for _, ip := range ips {
		conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dialTimeout is how long one of several addresses is waited for: of a container's
// networks not every one may be in reach.
const dialTimeout = 3 * time.Second

// reason is the cause in one line.
func (d *sender) reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	return d.redactor.Text(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// lookUp asks Docker for the addresses of a service that is to be asked for
// something: whatever else answers in its place is not it.
func lookUp(ctx context.Context, services Services, service string) ([]netip.Addr, error) {
	running, ips, _, err := services.Addresses(ctx, service)
	switch {
	case err != nil:
		return nil, fail(actions.CodeUnreachable, "docker could not be asked about %s; nothing was sent: %w", service, err)
	case !running:
		return nil, fail(actions.CodeTargetNotFound, "no container of %s runs; nothing was sent", service)
	}
	return ips, nil
}
