// Package httpget asks an HTTP endpoint: the check http.get.
package httpget

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// shownBody bounds what of it becomes an output.
const shownBody = 4 << 10

// Entry is one of the configuration's http entries.
type Entry struct{ Name, Service, URL, Bearer string }

// Services is what is asked of Docker.
type Services interface {
	Declared(service string) bool
	Services() []string
	Target(service string) string
	// Addresses: see docker.Engines.
	Addresses(ctx context.Context, service string) (running bool, ips []netip.Addr, published []netip.AddrPort, err error)
}

// Status is the expected status: one, or a list.
type Status []int

// UnmarshalYAML reads a number or a list of numbers.
func (s *Status) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		var one int
		if err := n.Decode(&one); err != nil {
			return strictyaml.At(n, "write a status such as 200, or a list of them", "want a status")
		}
		*s = Status{one}
	} else if err := n.Decode((*[]int)(s)); err != nil {
		return strictyaml.At(n, "write a status such as 200, or a list of them", "want a status")
	}
	for _, one := range *s {
		if one < 100 || one > 599 {
			return strictyaml.At(n, "write a number from 100 to 599", "bad status %d", one)
		}
	}
	return nil
}

// config is the `with` of http.get.
type config struct {
	URL     actions.Text        `yaml:"url"`
	HTTP    string              `yaml:"http"`
	Path    actions.Text        `yaml:"path"`
	Service string              `yaml:"service"`
	Status  Status              `yaml:"status"`
	Match   string              `yaml:"match"`
	Timeout strictyaml.Duration `yaml:"timeout"`
}

type get struct {
	config
	entry    *Entry
	match    *regexp.Regexp
	services Services
}

var _ actions.Check = (*get)(nil)

// Kinds are the kinds of this package.
func Kinds(entries []Entry, services Services) []actions.Kind {
	return []actions.Kind{{
		Name: "http.get", Class: actions.Reads, Timeout: 30 * time.Second,
		Outputs: map[string]any{"status": 0, "body": "", "latency_ms": 0},
		Decode:  func(with *yaml.Node) (actions.Step, error) { return decode(with, entries, services) },
	}}
}

func decode(with *yaml.Node, entries []Entry, services Services) (actions.Step, error) {
	c := config{Timeout: strictyaml.Duration(5 * time.Second)}
	if err := strictyaml.Decode(with, &c); err != nil {
		return nil, err
	}
	g := &get{config: c, services: services}
	switch {
	case (c.URL.Raw() == "") == (c.HTTP == ""):
		return nil, strictyaml.At(with, "write url: http://..., or http: NAME of an http entry with path:", "http.get wants either url or http")
	case c.HTTP == "" && c.Path.Raw() != "":
		return nil, strictyaml.At(strictyaml.Child(with, "path"), "put it into url", "path goes with http, not with url")
	case c.HTTP != "":
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == c.HTTP })
		if i < 0 {
			var names []string
			for _, e := range entries {
				names = append(names, e.Name)
			}
			return nil, strictyaml.At(strictyaml.Child(with, "http"), strictyaml.Suggest(c.HTTP, names), "undeclared http entry %q", c.HTTP)
		}
		g.entry = &entries[i]
		if g.Service == "" {
			g.Service = g.entry.Service
		}
	case c.URL.IsStatic():
		if _, err := parseURL(c.URL.Raw()); err != nil {
			return nil, strictyaml.At(strictyaml.Child(with, "url"), "write http://host:port/path or https://...", "%s", err)
		}
	}
	if g.Service != "" && !services.Declared(g.Service) {
		return nil, strictyaml.At(strictyaml.Child(with, "service"), strictyaml.Suggest(g.Service, services.Services()), "undeclared service %q", g.Service)
	}
	if c.Timeout.Std() <= 0 {
		return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "write a duration such as 5s", "timeout must be positive")
	}
	if c.Match != "" {
		re, err := regexp.Compile(c.Match)
		if err != nil {
			return nil, strictyaml.At(strictyaml.Child(with, "match"), "write a regular expression as in RE2", "bad match: %s", err)
		}
		g.match = re
	}
	return g, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("bad url")
	}
	return u, nil
}

// Needs implements actions.Step.
func (g *get) Needs() []string { return actions.NeedsOf(g.URL, g.Path) }

// Targets implements actions.Step: the service that is asked, for verify.
func (g *get) Targets(actions.Scope) (actions.Targets, error) {
	t := actions.Targets{Exact: true}
	if g.Service != "" {
		t.Names = []string{g.services.Target(g.Service)}
	}
	return t, nil
}

// Check asks once.
func (g *get) Check(ctx context.Context, s actions.Scope) actions.Result {
	u, err := g.address(s)
	if err != nil {
		return actions.Result{Unknown: true, Text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, g.Timeout.Std())
	defer cancel()
	where := place(u)
	t := &target{get: g, host: u.Hostname()}
	if g.Service != "" {
		running, known := t.look(ctx)
		if known != nil {
			return actions.Result{Unknown: true, Text: fmt.Sprintf("GET %s: Docker could not be asked about %s: %v", where, g.Service, known)}
		}
		if !running {
			return actions.Result{Text: fmt.Sprintf("GET %s: no container of %s runs", where, g.Service)}
		}
	}
	begin := time.Now()
	res, body, err := g.ask(ctx, u, t)
	took := time.Since(begin)
	if err != nil {
		return g.failed(where, t, err)
	}
	return g.judge(where, res, body, took)
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
	u, err := parseURL(strings.TrimSuffix(g.entry.URL, "/") + "/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, err
	}
	// A rendered path must not lead to another host with the entry's credentials.
	if base, err := parseURL(g.entry.URL); err != nil || base.Host != u.Host {
		return nil, fmt.Errorf("path leaves the http entry %q", g.entry.Name)
	}
	return u, nil
}

// place is an URL without what may be secret in it.
func place(u *url.URL) string {
	shown := *u
	shown.User, shown.RawQuery, shown.Fragment = nil, "", ""
	return shown.String()
}

// ask sends the request. The connection is made anew, to the address that holds now.
func (g *get) ask(ctx context.Context, u *url.URL, t *target) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("User-Agent", "remediator")
	if g.entry != nil && g.entry.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+g.entry.Bearer)
	}
	client := &http.Client{
		Transport: &http.Transport{DialContext: t.dial, DisableKeepAlives: true},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != u.Host || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return nil, "", err
	}
	return res, strings.ToValidUTF8(string(body), "\uFFFD"), nil
}

func (g *get) judge(where string, res *http.Response, body string, took time.Duration) actions.Result {
	out := actions.Result{Outputs: map[string]any{
		"status": res.StatusCode, "body": actions.Cap(body, shownBody), "latency_ms": int(took.Milliseconds()),
	}}
	good := res.StatusCode >= 200 && res.StatusCode <= 299
	if len(g.Status) > 0 {
		good = slices.Contains(g.Status, res.StatusCode)
	}
	switch {
	case !good:
		out.Text = fmt.Sprintf("GET %s answered %d", where, res.StatusCode)
	case g.match != nil && !g.match.MatchString(body):
		out.Text = fmt.Sprintf("GET %s answered %d, but its body does not match %q", where, res.StatusCode, g.match)
	default:
		out.OK, out.Text = true, fmt.Sprintf("GET %s answered %d in %d ms", where, res.StatusCode, took.Milliseconds())
	}
	return out
}

// failed says what a failure to get any answer means (design §6): at an address of
// the service itself it is the service's, elsewhere nothing is known about it.
func (g *get) failed(where string, t *target, err error) actions.Result {
	text := fmt.Sprintf("GET %s: %s", where, reason(err))
	if g.Service != "" && t.own && silent(err) {
		return actions.Result{Text: text}
	}
	return actions.Result{Unknown: true, Text: text}
}

// reason is an error without the URL, which may hold credentials.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
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
		errors.As(err, &n) && n.Timeout()
}

// target dials, and knows whether it dialled an address of the service.
type target struct {
	get       *get
	host      string
	ips       []netip.Addr
	published []netip.AddrPort
	own       bool
}

func (t *target) look(ctx context.Context) (running bool, err error) {
	running, t.ips, t.published, err = t.get.services.Addresses(ctx, t.get.Service)
	return running, err
}

// dial connects. A host that equals its service is looked up in Docker, at every
// connection: services are often not published, and their addresses change.
func (t *target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{}
	if t.get.Service != "" && host == t.get.Service {
		if len(t.ips) == 0 {
			return nil, fmt.Errorf("service %s has no address", host)
		}
		t.own = true
		return d.DialContext(ctx, network, net.JoinHostPort(t.ips[0].String(), port))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		t.own = t.owns(ip, port)
	} else if ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err == nil && len(ips) > 0 {
		t.own = t.owns(ips[0].Unmap(), port)
	}
	return d.DialContext(ctx, network, addr)
}

// owns says whether an address is a container's, or one published for it.
func (t *target) owns(ip netip.Addr, port string) bool {
	if slices.Contains(t.ips, ip) {
		return true
	}
	return slices.ContainsFunc(t.published, func(p netip.AddrPort) bool {
		return fmt.Sprint(p.Port()) == port && (p.Addr() == ip || p.Addr().IsUnspecified())
	})
}
