// Package httprequest sends one HTTP request that changes something: the action
// http.request.
package httprequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/httpget"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Limits of `timeout`. The kind's own timeout is longer, so that the request's is
// the one that is met.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 4 * time.Minute
)

// methods that may change something. GET is http.get's.
var methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Entry is one of the configuration's http entries.
type Entry = httpget.Entry

// Services is what is asked of Docker, for entries that name their service.
type Services interface {
	Declared(service string) bool
	Services() []string
	Target(service string) string
	// Addresses are those of the service's running containers.
	Addresses(ctx context.Context, service string) (running bool, ips []netip.Addr, published []netip.AddrPort, err error)
}

// config is the `with` of http.request.
type config struct {
	HTTP    string              `yaml:"http"`
	Method  string              `yaml:"method"`
	Path    actions.Text        `yaml:"path"`
	Body    actions.Text        `yaml:"body"`
	Status  httpget.Status      `yaml:"status"`
	Timeout strictyaml.Duration `yaml:"timeout"`
}

// request is a decoded step. It holds no bearer and no client that could send.
type request struct {
	config
	name, service string
	base          *url.URL
	services      Services
	redactor      *actions.Redactor // of the entry's own secret
}

var _ actions.Action = (*request)(nil)

// Kinds are the kinds of this package.
func Kinds(entries []Entry, services Services) []actions.Kind {
	return []actions.Kind{{
		Name: "http.request", Class: actions.Changes, Timeout: maxTimeout + time.Minute,
		Outputs: map[string]any{"status": 0, "body": "", "latency_ms": 0},
		Decode:  func(with *yaml.Node) (actions.Step, error) { return decode(with, entries, services) },
	}}
}

// Targets are those of the entries that name no service: the others share their
// service's.
func Targets(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		if e.Service == "" {
			out = append(out, "http:"+e.Name)
		}
	}
	return out
}

func decode(with *yaml.Node, entries []Entry, services Services) (actions.Step, error) {
	c := config{Timeout: strictyaml.Duration(defaultTimeout)}
	if err := strictyaml.Decode(with, &c); err != nil {
		return nil, err
	}
	r := &request{config: c, services: services}
	if err := r.choose(with, entries); err != nil {
		return nil, err
	}
	if !slices.Contains(methods, c.Method) {
		at, fix := with, "write method: one of "+strings.Join(methods, ", ")
		if n := strictyaml.Child(with, "method"); n != nil {
			at = n
		}
		if strings.EqualFold(c.Method, http.MethodGet) {
			fix = "use http.get, a check"
		}
		return nil, strictyaml.At(at, fix, "bad method %q", c.Method)
	}
	if d := c.Timeout.Std(); d <= 0 || d > maxTimeout {
		return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "write a duration from 1ms to 4m", "bad timeout %s", c.Timeout)
	}
	// What is known already is checked now; what a template gives, by Plan.
	if c.Path.IsStatic() {
		if _, err := r.address(c.Path.Raw()); err != nil {
			return nil, strictyaml.At(strictyaml.Child(with, "path"), "write a path such as /events/replay", "%s", err)
		}
	}
	if c.Body.IsStatic() {
		if err := sound(c.Body.Raw()); err != nil {
			return nil, strictyaml.At(strictyaml.Child(with, "body"), "mend the JSON", "%s", err)
		}
	}
	return r, nil
}

// choose finds the entry and checks what of it this kind needs.
func (r *request) choose(with *yaml.Node, entries []Entry) error {
	at := strictyaml.Child(with, "http")
	if at == nil {
		return strictyaml.At(with, "write http: NAME of an http entry", "http.request wants an http entry")
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	i := slices.Index(names, r.HTTP)
	if i < 0 {
		return strictyaml.At(at, strictyaml.Suggest(r.HTTP, names), "undeclared http entry %q", r.HTTP)
	}
	e := entries[i]
	base, err := url.Parse(e.URL)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.Scheme != "http" && base.Scheme != "https" {
		return strictyaml.At(at, "give the entry an url such as http://host:port, without ? and #", "http entry %q has no url that a path can be added to", e.Name)
	}
	if e.Service != "" && !r.services.Declared(e.Service) {
		return strictyaml.At(at, strictyaml.Suggest(e.Service, r.services.Services()), "service %q of http entry %q is not declared", e.Service, e.Name)
	}
	r.name, r.service, r.base, r.redactor = e.Name, e.Service, base, actions.NewRedactor([]string{e.Bearer})
	return nil
}

// Needs implements actions.Step.
func (r *request) Needs() []string { return actions.NeedsOf(r.Path, r.Body) }

// Targets implements actions.Step: the entry's service, so that it shares one lock
// and one set of counters with what else is done to it; else the entry itself.
func (r *request) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Names: []string{r.target()}, Exact: true}, nil
}

func (r *request) target() string {
	if r.service != "" {
		return r.services.Target(r.service)
	}
	return "http:" + r.name
}

// address is the entry's URL with a path added. What labels put into the path must
// not lead elsewhere with the entry's credentials: not to another host, and not out
// of the entry's own path.
func (r *request) address(path string) (*url.URL, error) {
	if path == "" {
		u := *r.base
		return &u, nil
	}
	u, err := url.Parse(strings.TrimSuffix(r.base.String(), "/") + "/" + strings.TrimPrefix(path, "/"))
	switch {
	case err != nil:
		return nil, errors.New("bad path") // the cause quotes it, and it may hold a secret
	case u.Host != r.base.Host || u.Scheme != r.base.Scheme || strings.Contains(path, `\`) || slices.ContainsFunc(strings.Split(u.Path, "/"), dots):
		return nil, fmt.Errorf("the path does not stay at http entry %q", r.name)
	case strings.Contains(path, "#"):
		return nil, errors.New("the path has a #, and what follows it would not be sent")
	}
	return u, nil
}

func dots(segment string) bool { return segment == "." || segment == ".." }

// isJSON says whether a body looks like JSON.
func isJSON(body string) bool {
	b := strings.TrimSpace(body)
	return strings.HasPrefix(b, "{") || strings.HasPrefix(b, "[")
}

// sound refuses what looks like JSON and is none. It quotes nothing of it.
func sound(body string) error {
	if isJSON(body) && !json.Valid([]byte(body)) {
		return errors.New("the body looks like JSON and is not valid")
	}
	return nil
}

// render is the request that a scope leads to.
func (r *request) render(s actions.Scope) (Request, error) {
	path, err := r.Path.Render(s)
	if err != nil {
		return Request{}, err
	}
	u, err := r.address(path)
	if err != nil {
		return Request{}, fail(actions.CodeFailed, "%w", err)
	}
	body, err := r.Body.Render(s)
	if err != nil {
		return Request{}, err
	}
	if err := sound(body); err != nil {
		return Request{}, fail(actions.CodeFailed, "%s %s: %w: write {{ toJson ... }} around what a label holds", r.Method, place(u), err)
	}
	return Request{Method: r.Method, URL: u, Body: body}, nil
}

// place is an URL without what may be secret in it.
func place(u *url.URL) string {
	shown := *u
	shown.User, shown.RawQuery, shown.Fragment = nil, "", ""
	return shown.String()
}

func fail(code actions.Code, format string, args ...any) error {
	return &actions.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
