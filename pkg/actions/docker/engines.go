// Package docker carries out and checks what concerns containers: docker.restart,
// start, stop, healthy, state and logs. Services are found by Compose's labels
// within one project, never by name, and only declared ones are ever touched.
package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	hands   map[string]any // Changers, by hand name
	clients []*engineClient
}

// engine is what steps know of one: it can be read only.
type engine struct {
	Config
	reader   Reader
	restarts restarts
}

// New makes the clients of all engines; nothing is connected to. Its errors name
// the engine: bad host, name or service, a name given twice, dependencies on what
// is not declared or in a circle.
func New(configs []Config) (*Engines, error) {
	e := &Engines{hands: map[string]any{}}
	for _, c := range configs {
		if err := c.validate(); err != nil {
			return nil, errors.Join(err, e.Close())
		}
		if e.named(c.Name) != nil {
			return nil, errors.Join(fmt.Errorf("docker %q: the name is given twice", c.Name), e.Close())
		}
		reader, err := dial(c.Host, true)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("docker %q: %w", c.Name, err), e.Close())
		}
		hand, err := dial(c.Host, false)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("docker %q: %w", c.Name, err), reader.Close(), e.Close())
		}
		e.list = append(e.list, &engine{Config: c, reader: reader})
		e.hands["docker:"+c.Name] = Changer(hand)
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
	return maps.Clone(e.hands)
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

// Services are the declared services of all engines, those of the default first.
func (e *Engines) Services() []string {
	var out []string
	for _, en := range e.list {
		for _, s := range en.Services {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// Declared says whether some engine has a service.
func (e *Engines) Declared(service string) bool { return e.of(service) != nil }

// of is the first engine that has a service, or nil.
func (e *Engines) of(service string) *engine {
	for _, en := range e.list {
		if slices.Contains(en.Services, service) {
			return en
		}
	}
	return nil
}

// named is the engine of a name, or nil.
func (e *Engines) named(name string) *engine {
	for _, en := range e.list {
		if en.Name == name {
			return en
		}
	}
	return nil
}

// Target of a service: on the first engine that declares it. "" when none does.
func (e *Engines) Target(service string) string {
	if en := e.of(service); en != nil {
		return en.target(service)
	}
	return ""
}

func (en *engine) target(service string) string { return "docker:" + en.Name + "/" + service }

// Addresses are where a service can be reached: its running containers' own
// addresses, in the order of their numbers, and what is published for them on the
// engine's host, where an unspecified address means any of that host's. running is
// false when none of its containers runs. An error means that Docker could not be
// asked.
func (e *Engines) Addresses(ctx context.Context, service string) (running bool, ips []netip.Addr, published []netip.AddrPort, err error) {
	list, err := e.containersOf(ctx, service)
	if err != nil {
		return false, nil, nil, err
	}
	for _, c := range list {
		// A paused container is there, and answers nothing.
		if c.Status == statusRunning || c.Status == statusPaused {
			running = true
			ips = append(ips, c.IPs...)
			published = append(published, c.Published...)
		}
	}
	return running, ips, published, nil
}

// containersOf a declared service, possibly none.
func (e *Engines) containersOf(ctx context.Context, service string) ([]Container, error) {
	en := e.of(service)
	if en == nil {
		return nil, notDeclared(service, e.Services())
	}
	return en.reader.Containers(ctx, en.Project, service)
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
		if en = e.named(t.Docker); en == nil {
			var names []string
			for _, en := range e.list {
				names = append(names, en.Name)
			}
			return selector{}, strictyaml.At(strictyaml.Child(with, "docker"), strictyaml.Suggest(t.Docker, names), "undeclared docker engine %q", t.Docker)
		}
	}
	if t.Service.Raw() == "" {
		return selector{}, strictyaml.At(with, "add service: one of "+strings.Join(en.Services, ", "), "service is missing")
	}
	if t.Service.IsStatic() && !slices.Contains(en.Services, t.Service.Raw()) {
		return selector{}, strictyaml.At(strictyaml.Child(with, "service"),
			strictyaml.Suggest(t.Service.Raw(), en.Services)+"; or declare it in services of docker entry "+en.Name,
			"service %q is not declared", t.Service.Raw())
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

// unanswered is a check's result when the containers could not be had: that there
// is none is an answer, anything else is none.
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
