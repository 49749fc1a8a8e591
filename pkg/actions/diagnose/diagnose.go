// Package diagnose gathers evidence: the first-responder checklist of the runbooks
// (§2), before anything is changed.
package diagnose

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// budget of one gathering; what takes longer is noted as missing.
const budget = 20 * time.Second

// maxTail bounds the log of one container in the evidence, in bytes.
const maxTail = 8 << 10

// Engines is what diagnose reads of containers.
type Engines interface {
	Services() []string
	Declared(service string) bool
	Describe(ctx context.Context, service string) ([]string, error)
	Tail(ctx context.Context, service string, since time.Time, lines int) (map[string]string, error)
}

// config is the `with` of diagnose.
type config struct {
	Services []string            `yaml:"services"`
	Since    strictyaml.Duration `yaml:"since"`
	Tail     int                 `yaml:"tail"`
}

type diagnose struct {
	config
	engines Engines
	firing  func(context.Context) ([]alert.Alert, error)
}

var _ actions.Gatherer = (*diagnose)(nil)

// Kinds are the kinds of this package. firing gives the alerts that fire now.
func Kinds(engines Engines, firing func(context.Context) ([]alert.Alert, error)) []actions.Kind {
	return []actions.Kind{{
		Name: "diagnose", Class: actions.Evidence, Timeout: budget + 5*time.Second,
		Outputs: map[string]any{"states": map[string]any{}, "logs": map[string]any{}, "alerts": []string{}, "missing": []string{}},
		Decode: func(with *yaml.Node) (actions.Step, error) {
			c := config{Since: strictyaml.Duration(30 * time.Minute), Tail: 100}
			if err := strictyaml.Decode(with, &c); err != nil {
				return nil, err
			}
			if c.Tail < 0 || c.Tail > 1000 {
				return nil, strictyaml.At(strictyaml.Child(with, "tail"), "write a number of lines from 0 to 1000", "bad tail %d", c.Tail)
			}
			for i, s := range c.Services {
				if !engines.Declared(s) {
					return nil, strictyaml.At(strictyaml.Child(with, "services").Content[i], strictyaml.Suggest(s, engines.Services()), "undeclared service %q", s)
				}
			}
			return &diagnose{c, engines, firing}, nil
		},
	}}
}

// Needs implements actions.Step.
func (*diagnose) Needs() []string { return nil }

// Targets implements actions.Step: evidence touches nothing.
func (*diagnose) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Exact: true}, nil
}

// evidence is what several goroutines gather.
type evidence struct {
	mu      sync.Mutex // guards the rest
	states  map[string]any
	logs    map[string]any
	alerts  []string
	missing []string
}

func (e *evidence) miss(what string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missing = append(e.missing, fmt.Sprintf("%s: %v", what, err))
}

// Gather collects everything at once. What cannot be had is named, never a failure.
func (d *diagnose) Gather(ctx context.Context, s actions.Scope) actions.Result {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	services := d.Services
	if len(services) == 0 {
		services = d.engines.Services()
	}
	e := &evidence{states: map[string]any{}, logs: map[string]any{}}
	var wg sync.WaitGroup
	for _, service := range services {
		wg.Go(func() { d.service(ctx, s, service, e) })
	}
	wg.Go(func() { d.alerts(ctx, e) })
	wg.Wait()
	slices.Sort(e.missing)
	return actions.Result{OK: true, Text: e.summary(), Outputs: map[string]any{
		"states": e.states, "logs": e.logs, "alerts": append([]string{}, e.alerts...), "missing": append([]string{}, e.missing...),
	}}
}

func (d *diagnose) service(ctx context.Context, s actions.Scope, service string, e *evidence) {
	states, err := d.engines.Describe(ctx, service)
	if err != nil {
		e.miss("state of "+service, err)
		return
	}
	e.mu.Lock()
	e.states[service] = states
	e.mu.Unlock()
	if d.Tail == 0 {
		return
	}
	tails, err := d.engines.Tail(ctx, service, s.Now.Add(-d.Since.Std()), d.Tail)
	if err != nil {
		e.miss("logs of "+service, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, text := range tails {
		if text != "" {
			e.logs[name] = actions.Cap(text, maxTail)
		}
	}
}

func (d *diagnose) alerts(ctx context.Context, e *evidence) {
	list, err := d.firing(ctx)
	if err != nil {
		e.miss("firing alerts", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range list {
		var parts []string
		for _, p := range a.Labels.SortedPairs() {
			parts = append(parts, p.Name+"="+p.Value)
		}
		e.alerts = append(e.alerts, strings.Join(parts, " "))
	}
	slices.Sort(e.alerts)
}

// summary names what is not as it should be.
func (e *evidence) summary() string {
	var parts []string
	for _, service := range slices.Sorted(maps.Keys(e.states)) {
		list, _ := e.states[service].([]string)
		for _, s := range list {
			if !strings.Contains(s, " running, healthy") && !strings.HasSuffix(s, " running") {
				parts = append(parts, s)
			}
		}
	}
	text := fmt.Sprintf("%d services, %d alerts fire", len(e.states), len(e.alerts))
	if len(parts) > 0 {
		text += "; not well: " + strings.Join(parts, "; ")
	}
	if len(e.missing) > 0 {
		text += "; could not be had: " + strings.Join(e.missing, "; ")
	}
	return text
}
