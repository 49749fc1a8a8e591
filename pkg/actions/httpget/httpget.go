// Package httpget asks an HTTP endpoint: the check http.get.
package httpget

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// maxTimeout is the longest timeout of one exchange. The kind's own is longer, so
// that a service that hangs is seen to, and not cut off before.
const maxTimeout = time.Minute

// shownBody bounds what of it becomes an output.
const shownBody = 4 << 10

// Entry is one of the configuration's http entries.
type Entry struct{ Name, Service, URL, Bearer string }

// Services is what is asked of Docker.
type Services interface {
	Declared(service string) bool
	Services() []string
	Target(service string) string
	// Addresses are those of the service's running containers, and what is published
	// for them; an unspecified published address means any of this host's.
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
	if len(*s) == 0 {
		return strictyaml.At(n, "write a status such as 200, or remove the key for 200 to 299", "want a status")
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
	entry    *Entry // nil: url is given
	match    *regexp.Regexp
	services Services
	local    func() ([]netip.Addr, error) // this host's addresses
	redactor *actions.Redactor            // of the entry's own secret
}

var _ actions.Check = (*get)(nil)

// Kinds are the kinds of this package.
func Kinds(entries []Entry, services Services) []actions.Kind {
	return []actions.Kind{{
		Name: "http.get", Class: actions.Reads, Timeout: maxTimeout + 15*time.Second,
		Outputs: map[string]any{"status": 0, "body": "", "latency_ms": 0},
		Decode:  func(with *yaml.Node) (actions.Step, error) { return decode(with, entries, services) },
	}}
}

func decode(with *yaml.Node, entries []Entry, services Services) (actions.Step, error) {
	c := config{Timeout: strictyaml.Duration(5 * time.Second)}
	if err := strictyaml.Decode(with, &c); err != nil {
		return nil, err
	}
	g := &get{config: c, services: services, local: localAddresses, redactor: actions.NewRedactor(nil)}
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
		g.redactor = actions.NewRedactor([]string{g.entry.Bearer})
		if g.Service == "" {
			g.Service = g.entry.Service
		}
	case c.URL.IsStatic():
		if _, err := parseURL(c.URL.Raw()); err != nil {
			return nil, strictyaml.At(strictyaml.Child(with, "url"), "write http://host:port/path or https://...", "%s", err)
		}
	}
	if g.Service != "" && !services.Declared(g.Service) {
		at := strictyaml.Child(with, "service")
		if at == nil {
			at = strictyaml.Child(with, "http")
		}
		return nil, strictyaml.At(at, strictyaml.Suggest(g.Service, services.Services()), "service %q is not declared", g.Service)
	}
	if c.Timeout.Std() <= 0 {
		return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "write a duration such as 5s", "timeout must be longer than 0")
	}
	if c.Timeout.Std() > maxTimeout {
		return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "write at most 1m", "timeout is too long")
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
