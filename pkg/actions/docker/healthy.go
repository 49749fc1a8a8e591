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

// Check answers at once: a container that is still starting is not healthy.
func (h *healthy) Check(ctx context.Context, s actions.Scope) actions.Result {
	service, list, err := h.containers(ctx, s)
	if err != nil {
		return unanswered(err)
	}
	var bad []string
	for _, c := range list {
		if why := h.unhealthy(c); why != "" {
			bad = append(bad, c.Name+" "+why)
		}
	}
	res := actions.Result{OK: len(bad) == 0, Outputs: map[string]any{"service": service, "containers": len(list), "unhealthy": append([]string{}, bad...)}}
	if res.OK {
		res.Text = fmt.Sprintf("%s is healthy (%d containers)", service, len(list))
	} else {
		res.Text = fmt.Sprintf("%s is not healthy: %s", service, strings.Join(bad, ", "))
	}
	return res
}

// unhealthy says why a container is not healthy, "" when it is.
func (h *healthy) unhealthy(c Container) string {
	switch {
	case c.Status != statusRunning:
		return fmt.Sprintf("is %s (exit code %d)", c.Status, c.ExitCode)
	case c.Health == "healthy":
		return ""
	case c.Health != "":
		return "is " + c.Health
	}
	// Without a health check: it has to have run for a while.
	if up := time.Since(c.StartedAt); up < h.stableFor {
		return fmt.Sprintf("has run for %s, less than %s, and has no health check", up.Round(100*time.Millisecond), h.stableFor)
	}
	return ""
}
