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
	startIt bool   // restart: a container that does not run is started
}

var _ actions.Action = (*change)(nil)

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
	if n := strictyaml.Child(with, "when_stopped"); n != nil && (verb != "restart" || c.WhenStopped != whenStoppedAsk && c.WhenStopped != whenStoppedStart) {
		return nil, strictyaml.At(n, "docker.restart takes ask or start, other kinds have no such key", "bad when_stopped %q", c.WhenStopped)
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
			"status": c.Status, "health": c.Health, "started_at": c.StartedAt, "restart_count": c.RestartCount, "exit_code": c.ExitCode,
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
	// One that its restart policy keeps starting anew runs, if only at times.
	runs := c.Status == statusRunning || c.Status == statusRestarting
	switch {
	case c.Status == statusPaused:
		return false, refuse(actions.CodeStopped, "container %s of %s is paused, which somebody did on purpose: unpause it first", c.Name, service)
	case c.Status == statusRemoving || c.Status == statusDead:
		return false, refuse(actions.CodeFailed, "container %s of %s is %s and cannot be used any more: remove it and create it anew", c.Name, service, c.Status)
	case a.verb == "start":
		return !runs, nil
	case a.verb == "stop":
		return runs, nil
	case !runs && !a.startIt:
		return false, refuse(actions.CodeStopped, "container %s of %s is stopped (%s, exit code %d), perhaps on purpose: say when_stopped: start to have it started",
			c.Name, service, c.Status, c.ExitCode)
	}
	return true, nil
}

func refuse(code actions.Code, format string, args ...any) error {
	return &actions.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Apply changes the planned containers, one after the other, by their ids: what has
// come since is not touched, and what is gone is not looked for.
func (a *change) Apply(ctx context.Context, _ actions.Scope, p actions.Plan, h actions.Hands) (actions.Result, error) {
	hand, err := actions.Hand[Changer](h, "docker:"+a.engine.Name)
	if err != nil {
		return actions.Result{}, err
	}
	var done []string
	for _, o := range p.Objects {
		if err := ctx.Err(); err != nil {
			return a.result(p, done), a.partly(done, o, refuse(actions.CodeFailed, "not begun: %w", err))
		}
		if err := a.one(ctx, hand, o.ID); err != nil {
			return a.result(p, done), a.partly(done, o, err)
		}
		done = append(done, o.Name)
	}
	res := a.result(p, done)
	res.OK = true
	res.Text = fmt.Sprintf("%s: %s", map[string]string{"restart": "restarted", "start": "started", "stop": "stopped"}[a.verb], strings.Join(done, ", "))
	return res, nil
}

func (a *change) result(p actions.Plan, done []string) actions.Result {
	return actions.Result{Outputs: map[string]any{"service": p.Args["service"], "containers": append([]string{}, done...)}}
}

// one changes one container. The call is not cut off when the caller gives up: it
// has a deadline of its own, longer than the engine's.
func (a *change) one(ctx context.Context, hand Changer, id string) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.patience(ctx, id)+margin)
	defer cancel()
	switch a.verb {
	case "restart":
		return hand.Restart(call, id, a.timeout)
	case "start":
		return hand.Start(call, id)
	default:
		return hand.Stop(call, id, a.timeout)
	}
}

// patience is how long the engine waits for a container to stop.
func (a *change) patience(ctx context.Context, id string) time.Duration {
	if a.timeout != nil {
		return time.Duration(*a.timeout) * time.Second
	}
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if c, err := a.engine.reader.Inspect(look, id); err == nil && c.StopTimeout != nil {
		return time.Duration(*c.StopTimeout) * time.Second
	}
	return stopDefault
}

// partly is the error of a change that stopped at a container. Where others were
// changed before it, what the service is now is for the verify checks to say.
func (a *change) partly(done []string, at actions.Object, err error) error {
	code := actions.CodeOf(err)
	text := fmt.Errorf("%s of container %s (%.12s): %w", a.verb, at.Name, at.ID, err)
	if len(done) > 0 {
		code = actions.CodeOutcomeUnknown
		text = fmt.Errorf("%w; done before: %s", text, strings.Join(done, ", "))
	}
	return &actions.Error{Code: code, Err: text}
}
