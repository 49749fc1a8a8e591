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

// What the evidence holds at most.
const (
	maxTail   = 8 << 10   // bytes of the log of one container
	maxTails  = 128 << 10 // bytes of all logs
	maxAlerts = 100
)

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

// Probes are endpoints that are asked, by name.
type Probes map[string]func(context.Context) actions.Result

type diagnose struct {
	config
	engines Engines
	firing  func(context.Context) ([]alert.Alert, error)
	probes  Probes
}

var _ actions.Gatherer = (*diagnose)(nil)

// Kinds are the kinds of this package. firing gives the alerts that fire now; probes
// are asked as well.
func Kinds(engines Engines, firing func(context.Context) ([]alert.Alert, error), probes ...Probes) []actions.Kind {
	all := Probes{}
	for _, p := range probes {
		maps.Copy(all, p)
	}
	return []actions.Kind{{
		Name: "diagnose", Class: actions.Evidence, Timeout: budget + 5*time.Second,
		Outputs: map[string]any{"states": map[string]any{}, "logs": map[string]any{}, "http": map[string]any{}, "alerts": []string{}, "missing": []string{}},
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
					return nil, strictyaml.At(item(strictyaml.Child(with, "services"), i), strictyaml.Suggest(s, engines.Services()), "service %q is not declared", s)
				}
			}
			return &diagnose{c, engines, firing, all}, nil
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
	left    int // bytes that logs may still take
	http    map[string]any
	alerts  []string
	firing  int      // alerts, those that are not listed included
	unwell  []string // probes that are not ok
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
	e := &evidence{states: map[string]any{}, logs: map[string]any{}, http: map[string]any{}, left: maxTails}
	var wg sync.WaitGroup
	for _, service := range services {
		wg.Go(func() { d.service(ctx, s, service, e) })
	}
	for name, ask := range d.probes {
		wg.Go(func() { e.probe(ctx, name, ask) })
	}
	wg.Go(func() { d.alerts(ctx, e) })
	wg.Wait()
	slices.Sort(e.missing)
	return actions.Result{OK: true, Text: e.summary(), Outputs: map[string]any{
		"states": e.states, "logs": e.logs, "http": e.http, "alerts": append([]string{}, e.alerts...), "missing": append([]string{}, e.missing...),
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
	for _, name := range slices.Sorted(maps.Keys(tails)) {
		text := actions.Cap(tails[name], maxTail)
		switch {
		case text == "":
		case len(text) > e.left:
			e.missing = append(e.missing, "logs of "+name+": the evidence is large enough")
		default:
			e.logs[name] = text
			e.left -= len(text)
		}
	}
}

func (e *evidence) probe(ctx context.Context, name string, ask func(context.Context) actions.Result) {
	res := ask(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.http[name] = res.Text
	if !res.OK {
		e.unwell = append(e.unwell, res.Text)
	}
}

// item of a list node, or the node where there is none.
func item(n *yaml.Node, i int) *yaml.Node {
	if n != nil && i < len(n.Content) {
		return n.Content[i]
	}
	return n
}

func (d *diagnose) alerts(ctx context.Context, e *evidence) {
	list, err := d.firing(ctx)
	if err != nil {
		e.miss("firing alerts", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range list[:min(len(list), maxAlerts)] {
		var parts []string
		for _, p := range a.Labels.SortedPairs() {
			parts = append(parts, p.Name+"="+p.Value)
		}
		e.alerts = append(e.alerts, strings.Join(parts, " "))
	}
	slices.Sort(e.alerts)
	e.firing = len(list)
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
	text := fmt.Sprintf("%d services, %d alerts fire", len(e.states), e.firing)
	slices.Sort(e.unwell)
	parts = append(parts, e.unwell...)
	if len(parts) > 0 {
		text += "; not well: " + strings.Join(parts, "; ")
	}
	if len(e.missing) > 0 {
		text += "; could not be had: " + strings.Join(e.missing, "; ")
	}
	return text
}
