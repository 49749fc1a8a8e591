package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// States of a container, as Docker names them.
const (
	statusCreated    = "created"
	statusRunning    = "running"
	statusPaused     = "paused"
	statusRestarting = "restarting"
	statusRemoving   = "removing"
	statusExited     = "exited"
	statusDead       = "dead"
)

var states = []string{statusCreated, statusRunning, statusPaused, statusRestarting, statusRemoving, statusExited, statusDead}

// stateConfig is the `with` of docker.state.
type stateConfig struct {
	ServiceTarget `yaml:",inline"`
	Is            string `yaml:"is"`
}

// state reports what Docker says of a service's containers.
type state struct {
	selector
	is string
}

var _ actions.Check = (*state)(nil)

func (e *Engines) kindState() actions.Kind {
	return actions.Kind{
		Name: "docker.state", Class: actions.Reads, Timeout: 10 * time.Second,
		Outputs: map[string]any{
			"service": "", "status": "", "running": false, "health": "", "exit_code": 0, "oom_killed": false,
			"restart_count": 0, "started_at": "", "finished_at": "", "containers": 0,
		},
		Decode: func(with *yaml.Node) (actions.Step, error) {
			c := stateConfig{Is: statusRunning}
			if err := strictyaml.Decode(with, &c); err != nil {
				return nil, err
			}
			if !slices.Contains(states, c.Is) {
				return nil, strictyaml.At(strictyaml.Child(with, "is"), strictyaml.Suggest(c.Is, states), "bad state %q", c.Is)
			}
			sel, err := e.choose(with, c.ServiceTarget)
			if err != nil {
				return nil, err
			}
			return &state{sel, c.Is}, nil
		},
	}
}

// Check is ok when every container is in the wanted state. The outputs are of the
// first container that is not, else of the first.
func (st *state) Check(ctx context.Context, s actions.Scope) actions.Result {
	service, list, err := st.containers(ctx, s)
	if err != nil {
		return unanswered(err)
	}
	shown := list[0]
	var texts []string
	ok := true
	for _, c := range list {
		if c.Status != st.is && ok {
			shown, ok = c, false
		}
		texts = append(texts, describe(c))
	}
	return actions.Result{OK: ok, Text: service + ": " + strings.Join(texts, "; "), Outputs: map[string]any{
		"service": service, "status": shown.Status, "running": shown.Status == statusRunning, "health": shown.Health,
		"exit_code": shown.ExitCode, "oom_killed": shown.OOMKilled, "restart_count": shown.RestartCount,
		"started_at": stamp(shown.StartedAt), "finished_at": stamp(shown.FinishedAt), "containers": len(list),
	}}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// describe is a container in a few words.
func describe(c Container) string {
	out := c.Name + " " + c.Status
	switch c.Status {
	case statusPaused:
		out = c.Name + " is paused"
	case statusCreated:
		out = c.Name + " was never started"
	}
	if c.Health != "" {
		out += ", " + c.Health
	}
	if c.Status != statusRunning && c.Status != statusPaused && c.Status != statusCreated {
		out += fmt.Sprintf(", exit code %d", c.ExitCode)
	}
	if c.OOMKilled {
		out += ", killed for want of memory"
	}
	if c.RestartCount > 0 {
		out += fmt.Sprintf(", restarted %d times by its policy", c.RestartCount)
	}
	if c.Error != "" {
		out += ", " + c.Error
	}
	return out
}
