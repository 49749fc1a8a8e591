package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// stopDefault is the engine's own patience with a container that is to stop.
const stopDefault = 10 * time.Second

// margin beyond the stop timeout that one call may take. Some engines leave a
// container stopped when the client gives up in the middle of a restart, so that
// the client must be the more patient one.
const margin = 30 * time.Second

// lookTime bounds one look at an engine that should answer at once.
const lookTime = 10 * time.Second

// What to do with a container that does not run.
const (
	whenStoppedAsk   = "ask"
	whenStoppedStart = "start"
)

// changeConfig is the `with` of docker.restart, start and stop.
type changeConfig struct {
	ServiceTarget `yaml:",inline"`
	Timeout       *strictyaml.Duration `yaml:"timeout"`
	WhenStopped   string               `yaml:"when_stopped"`
}

// change restarts, starts or stops the containers of one service.
type change struct {
	selector
	verb    string // restart, start, stop
	timeout *int   // seconds to stop
	startIt bool   // when_stopped: start
}

var (
	_ actions.Action  = (*change)(nil)
	_ actions.Starter = (*change)(nil)
)

// StartsStopped implements actions.Starter. Whether a container that is stopped may
// be started is for the guards to say: they know who stopped it, this package does not.
func (a *change) StartsStopped() bool { return a.startIt }

func (e *Engines) kindRestart() actions.Kind { return e.kindChange("restart") }
func (e *Engines) kindStart() actions.Kind   { return e.kindChange("start") }
func (e *Engines) kindStop() actions.Kind    { return e.kindChange("stop") }

func (e *Engines) kindChange(verb string) actions.Kind {
	return actions.Kind{
		Name: "docker." + verb, Class: actions.Changes, Timeout: 5 * time.Minute, Recheckable: true,
		Outputs: map[string]any{"service": "", "containers": []string{}},
		Decode:  func(with *yaml.Node) (actions.Step, error) { return e.decodeChange(verb, with) },
	}
}

func (e *Engines) decodeChange(verb string, with *yaml.Node) (actions.Step, error) {
	c := changeConfig{WhenStopped: whenStoppedAsk}
	if hot := strictyaml.Child(with, "hottest"); hot != nil {
		return nil, strictyaml.At(hot, "name the service", "`hottest` is not supported yet")
	}
	if err := strictyaml.Decode(with, &c); err != nil {
		return nil, err
	}
	sel, err := e.choose(with, c.ServiceTarget)
	if err != nil {
		return nil, err
	}
	out := &change{selector: sel, verb: verb, startIt: c.WhenStopped == whenStoppedStart}
	if n := strictyaml.Child(with, "when_stopped"); n != nil && (verb == "stop" || c.WhenStopped != whenStoppedAsk && c.WhenStopped != whenStoppedStart) {
		return nil, strictyaml.At(n, "docker.restart and docker.start take ask or start, other kinds have no such key", "bad when_stopped %q", c.WhenStopped)
	}
	if c.Timeout != nil {
		if verb == "start" {
			return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "remove it", "docker.start stops nothing and has no timeout")
		}
		if d := c.Timeout.Std(); d < time.Second || d > 4*time.Minute || d%time.Second != 0 {
			return nil, strictyaml.At(strictyaml.Child(with, "timeout"), "write whole seconds from 1s to 4m", "timeout %s is not one that a container can be given to stop", c.Timeout)
		}
		s := int(c.Timeout.Std() / time.Second)
		out.timeout = &s
	}
	return out, nil
}

// Plan lists the containers that would be changed. It reads only.
func (a *change) Plan(ctx context.Context, s actions.Scope) (actions.Plan, error) {
	service, list, err := a.containers(ctx, s)
	if err != nil {
		return actions.Plan{}, err
	}
	p := actions.Plan{
		Uses: "docker." + a.verb, Targets: []string{a.engine.target(service)},
		Args: map[string]any{"service": service, "docker": a.engine.Name},
	}
	if a.timeout != nil {
		p.Args["timeout"] = *a.timeout
	}
	var names []string
	for _, c := range list {
		needed, err := a.needed(service, c)
		if err != nil {
			return actions.Plan{}, err
		}
		if !needed {
			continue
		}
		names = append(names, c.Name)
		p.Objects = append(p.Objects, actions.Object{Kind: "container", ID: c.ID, Name: c.Name, Detail: map[string]any{
			detailStatus: c.Status, "health": c.Health, "started_at": c.StartedAt, "restart_count": c.RestartCount, "exit_code": c.ExitCode, detailFinished: stamp(c.FinishedAt),
		}})
	}
	if len(names) == 0 {
		p.Text = fmt.Sprintf("nothing to %s: every container of %s is %s already", a.verb, service, map[string]string{"start": "running", "stop": "stopped"}[a.verb])
		return p, nil
	}
	p.Text = fmt.Sprintf("%s %s of service %s", a.verb, strings.Join(names, ", "), service)
	return p, nil
}

// needed says whether a container is to be changed, or why it must not be.
func (a *change) needed(service string, c Container) (bool, error) {
	if err := usable(service, c); err != nil {
		return false, err
	}
	if a.verb != "stop" && !a.startIt && awaited(c, time.Now()) {
		return false, refuse(actions.CodeStopped, "container %s of %s %s: who created it is about to start it; start it by hand, or set when_stopped: start", c.Name, service, notYet(c))
	}
	switch a.verb {
	case "start":
		return !runs(c.Status), nil
	case "stop":
		return runs(c.Status), nil
	default:
		return true, nil
	}
}

// runs says whether a container of that status runs. One that its restart policy
// keeps starting anew does, if only at times.
func runs(status string) bool { return status == statusRunning || status == statusRestarting }

// usable says why nothing may or can be done with a container.
func usable(service string, c Container) error {
	switch c.Status {
	case statusPaused:
		return refuse(actions.CodeStopped, "container %s of %s is paused, which somebody did on purpose: unpause it first", c.Name, service)
	case statusRemoving, statusDead:
		return refuse(actions.CodeFailed, "container %s of %s is %s and cannot be used any more: remove it and create it anew", c.Name, service, c.Status)
	}
	return nil
}

func refuse(code actions.Code, format string, args ...any) error {
	return &actions.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
