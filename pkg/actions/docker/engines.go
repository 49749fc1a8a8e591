// Package docker carries out and checks what concerns containers: docker.restart,
// start, stop, healthy, state and logs. Services are found by Compose's labels
// within one project, never by name, and only declared ones are ever touched.
package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Config is one engine and what of it may be touched.
type Config struct {
	Name      string
	Host      string
	Project   string
	Services  []string
	DependsOn map[string][]string
}

// Engines are all configured engines; the first is the default.
type Engines struct {
	list    []*engine
	clients []*engineClient
}

type engine struct {
	Config
	reader Reader
	hand   Changer
}

// New makes the clients of all engines; nothing is connected to.
func New(configs []Config) (*Engines, error) {
	e := &Engines{}
	for _, c := range configs {
		if strings.HasPrefix(c.Host, "ssh://") {
			return nil, fmt.Errorf("docker %q: ssh:// is not supported yet: use unix:// or tcp://", c.Name)
		}
		reader, err := dial(c.Host, true)
		if err != nil {
			return nil, err
		}
		hand, err := dial(c.Host, false)
		if err != nil {
			return nil, err
		}
		e.list = append(e.list, &engine{Config: c, reader: reader, hand: hand})
		e.clients = append(e.clients, reader, hand)
	}
	return e, nil
}

// Close closes the clients' idle connections; what is under way goes on.
func (e *Engines) Close() error {
	var errs []error
	for _, c := range e.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Hands are the clients that can change something, for actions.NewHands.
func (e *Engines) Hands() map[string]any {
	out := map[string]any{}
	for _, en := range e.list {
		out["docker:"+en.Name] = en.hand
	}
	return out
}

// Targets are the targets of all declared services.
func (e *Engines) Targets() []string {
	var out []string
	for _, en := range e.list {
		for _, s := range en.Services {
			out = append(out, en.target(s))
		}
	}
	return out
}

// Services are the declared services of the default engine.
func (e *Engines) Services() []string {
	if len(e.list) == 0 {
		return nil
	}
	return slices.Clone(e.list[0].Services)
}

// Declared says whether the default engine has a service.
func (e *Engines) Declared(service string) bool { return slices.Contains(e.Services(), service) }

// Target of a service of the default engine.
func (e *Engines) Target(service string) string {
	if len(e.list) == 0 {
		return "docker:/" + service
	}
	return e.list[0].target(service)
}

func (en *engine) target(service string) string { return "docker:" + en.Name + "/" + service }

// Addresses are where a service of the default engine can be reached: its running
// containers' own addresses and what is published for them. running is false when
// none of its containers runs. An error means that Docker could not be asked.
func (e *Engines) Addresses(ctx context.Context, service string) (running bool, ips []netip.Addr, published []netip.AddrPort, err error) {
	if !e.Declared(service) {
		return false, nil, nil, notDeclared(service, e.Services())
	}
	en := e.list[0]
	list, err := en.reader.Containers(ctx, en.Project, service)
	if err != nil {
		return false, nil, nil, err
	}
	for _, c := range list {
		if c.Status == "running" {
			running = true
			ips = append(ips, c.IPs...)
			published = append(published, c.Published...)
		}
	}
	return running, ips, published, nil
}

func notDeclared(service string, declared []string) error {
	return &actions.Error{Code: actions.CodeNotDeclared, Err: fmt.Errorf("service %q is not declared (declared: %s)", service, strings.Join(declared, ", "))}
}

// ServiceTarget is the part of `with` that names a service.
type ServiceTarget struct {
	Service actions.Text `yaml:"service"`
	Docker  string       `yaml:"docker"`
}

// selector is a decoded ServiceTarget.
type selector struct {
	engine  *engine
	service actions.Text
}

// choose checks a service's name where it is known already.
func (e *Engines) choose(with *yaml.Node, t ServiceTarget) (selector, error) {
	if len(e.list) == 0 {
		return selector{}, strictyaml.At(with, "add a docker: section with the engine and its services", "no docker engine is configured")
	}
	en := e.list[0]
	if t.Docker != "" {
		i := slices.IndexFunc(e.list, func(en *engine) bool { return en.Name == t.Docker })
		if i < 0 {
			var names []string
			for _, en := range e.list {
				names = append(names, en.Name)
			}
			return selector{}, strictyaml.At(strictyaml.Child(with, "docker"), strictyaml.Suggest(t.Docker, names), "undeclared docker engine %q", t.Docker)
		}
		en = e.list[i]
	}
	if t.Service.Raw() == "" {
		return selector{}, strictyaml.At(with, "add service: one of "+strings.Join(en.Services, ", "), "service is missing")
	}
	if t.Service.IsStatic() && !slices.Contains(en.Services, t.Service.Raw()) {
		return selector{}, strictyaml.At(strictyaml.Child(with, "service"), strictyaml.Suggest(t.Service.Raw(), en.Services)+" Or declare it under docker: services.",
			"undeclared service %q", t.Service.Raw())
	}
	return selector{en, t.Service}, nil
}

// Needs implements actions.Step.
func (s selector) Needs() []string { return s.service.Needs() }

// Targets implements actions.Step: the service, or, as long as its name depends on
// a step that has not run, every declared one.
func (s selector) Targets(sc actions.Scope) (actions.Targets, error) {
	name, err := s.resolve(sc)
	switch {
	case err == nil:
		return actions.Targets{Names: []string{s.engine.target(name)}, Exact: true}, nil
	case actions.CodeOf(err) == actions.CodeUnknownInput:
		var all []string
		for _, service := range s.engine.Services {
			all = append(all, s.engine.target(service))
		}
		slices.Sort(all)
		return actions.Targets{Names: all}, nil
	default:
		return actions.Targets{}, err
	}
}

// resolve renders the service's name. What comes out must be a declared one:
// labels come from outside and choose among what is allowed, never beyond.
func (s selector) resolve(sc actions.Scope) (string, error) {
	name, err := s.service.Render(sc)
	if err != nil {
		return "", err
	}
	if !slices.Contains(s.engine.Services, name) {
		return "", notDeclared(name, s.engine.Services)
	}
	return name, nil
}

// containers of the service, at least one.
func (s selector) containers(ctx context.Context, sc actions.Scope) (string, []Container, error) {
	name, err := s.resolve(sc)
	if err != nil {
		return "", nil, err
	}
	list, err := s.engine.reader.Containers(ctx, s.engine.Project, name)
	if err != nil {
		return name, nil, err
	}
	if len(list) == 0 {
		return name, nil, &actions.Error{Code: actions.CodeTargetNotFound, Err: fmt.Errorf("service %q has no container in Compose project %q", name, s.engine.Project)}
	}
	return name, list, nil
}

// unanswered is a check's result when Docker could not be asked.
func unanswered(err error) actions.Result {
	if actions.CodeOf(err) == actions.CodeTargetNotFound {
		return actions.Result{Text: err.Error()}
	}
	return actions.Result{Unknown: true, Text: err.Error()}
}

// Kinds are the kinds of this technology.
func (e *Engines) Kinds() []actions.Kind {
	return []actions.Kind{
		e.kindRestart(), e.kindStart(), e.kindStop(),
		e.kindHealthy(), e.kindState(), e.kindLogs(),
	}
}
