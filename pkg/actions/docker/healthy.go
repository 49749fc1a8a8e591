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

// Check answers at once.
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
	case c.Status != "running":
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

// Await follows the events of the service until the answer is as wanted. Events
// are subscribed to before the first look, so that nothing falls between the two.
func (h *healthy) Await(ctx context.Context, s actions.Scope, wantOK bool) actions.Result {
	name, err := h.resolve(s)
	if err != nil {
		return unanswered(err)
	}
	events, failed := h.engine.reader.Events(ctx, h.engine.Project, name, time.Time{})
	tick := time.NewTicker(min(backstop, max(h.stableFor, 100*time.Millisecond)))
	defer tick.Stop()
	var last actions.Result
	for {
		// A look that was cut off by the end of the time says nothing: the one
		// before it stands.
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		res := h.Check(look, s)
		cancel()
		last = res
		if !res.Unknown && res.OK == wantOK || ctx.Err() != nil {
			return last
		}
		if !h.next(ctx, events, &failed, tick.C) {
			return last
		}
	}
}

// next waits for a reason to look again; false when ctx has ended.
func (h *healthy) next(ctx context.Context, events <-chan Event, failed *<-chan error, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-events:
			if telling(e.Action) {
				return true
			}
		case <-*failed:
			*failed = nil // the ticks go on
		case <-tick:
			return true
		}
	}
}

// telling says whether an event can change the answer; health checks themselves
// are a stream of exec events.
func telling(action string) bool {
	return strings.HasPrefix(action, "health_status") || action == "start" || action == "die" || action == "destroy" || action == "unpause" || action == "pause"
}
