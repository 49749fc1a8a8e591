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

// backstop is how often health is looked up beside the events, in case one is lost.
const backstop = 3 * time.Second

// healthyConfig is the `with` of docker.healthy.
type healthyConfig struct {
	ServiceTarget `yaml:",inline"`
	StableFor     strictyaml.Duration `yaml:"stable_for"`
}

// healthy is ok when every container of a service runs and is healthy.
type healthy struct {
	selector
	stableFor time.Duration
}

var (
	_ actions.Check  = (*healthy)(nil)
	_ actions.Waiter = (*healthy)(nil)
)

func (e *Engines) kindHealthy() actions.Kind {
	return actions.Kind{
		Name: "docker.healthy", Class: actions.Reads, Timeout: 10 * time.Second,
		Outputs: map[string]any{"service": "", "containers": 0, "unhealthy": []string{}},
		Decode: func(with *yaml.Node) (actions.Step, error) {
			c := healthyConfig{StableFor: strictyaml.Duration(10 * time.Second)}
			if err := strictyaml.Decode(with, &c); err != nil {
				return nil, err
			}
			sel, err := e.choose(with, c.ServiceTarget)
			if err != nil {
				return nil, err
			}
			return &healthy{sel, c.StableFor.Std()}, nil
		},
	}
}

// Check answers at once. A container that is still starting is neither healthy nor a
// symptom: nothing is known of it yet. One that is known to be bad decides all the same.
func (h *healthy) Check(ctx context.Context, s actions.Scope) actions.Result {
	service, list, err := h.containers(ctx, s)
	if err != nil {
		return unanswered(err)
	}
	var bad []string
	pending := true // what is not healthy may still become so
	now := time.Now()
	for _, c := range list {
		h.engine.restarts.note(c, now)
		why, yet := h.unhealthy(c, now)
		if why != "" {
			bad = append(bad, c.Name+" "+why)
			pending = pending && yet
		}
	}
	res := actions.Result{OK: len(bad) == 0, Outputs: map[string]any{"service": service, "containers": len(list), "unhealthy": append([]string{}, bad...)}}
	switch {
	case res.OK:
		res.Text = fmt.Sprintf("%s is healthy (%d containers)", service, len(list))
	case pending:
		res.Unknown = true
		res.Text = fmt.Sprintf("whether %s is healthy is not known yet: %s", service, strings.Join(bad, ", "))
	default:
		res.Text = fmt.Sprintf("%s is not healthy: %s", service, strings.Join(bad, ", "))
	}
	return res
}

// unhealthy says why a container is not healthy, "" when it is, and whether it may
// only have been started too lately to be. A crash loop looks the same in the moments
// in which it runs, which is why restarts are counted.
func (h *healthy) unhealthy(c Container, now time.Time) (why string, yet bool) {
	up := now.Sub(c.StartedAt)
	switch {
	case awaited(c, now):
		return notYet(c), true
	case c.Status == statusCreated:
		return "was never started", false
	case c.Status == statusPaused:
		return "is paused", false
	case c.Status != statusRunning:
		return fmt.Sprintf("is %s (exit code %d)", c.Status, c.ExitCode), false
	case c.Health == "healthy", c.Health == "" && up >= h.stableFor:
		return "", false
	case c.Health == "":
		why = fmt.Sprintf("has run for %s, less than %s, and has no health check", up.Round(100*time.Millisecond), h.stableFor)
	default:
		why = "is " + c.Health
	}
	if h.engine.restarts.looping(c.ID, now) {
		return why + ", and its restart policy starts it again and again", false
	}
	return why, c.Health != "unhealthy"
}
