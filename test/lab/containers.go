package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// ContainerIDs of the service, running or not, by container number.
func (l *Lab) ContainerIDs(ctx context.Context, service string) ([]string, error) {
	found, err := l.Docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", LabelRun+"="+l.Run), filters.Arg("label", LabelService+"="+service))})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("service %s has no container", service)
	}
	slices.SortFunc(found, func(a, b container.Summary) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a.ID, b.ID))
	})
	var ids []string
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

func number(c container.Summary) int {
	n, err := strconv.Atoi(c.Labels[LabelNumber])
	if err != nil {
		return 0
	}
	return n
}

// StartedAt is when the container was last started.
func (l *Lab) StartedAt(ctx context.Context, id string) (time.Time, error) {
	c, err := l.Docker.ContainerInspect(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, c.State.StartedAt)
}

// Health of the container: healthy, unhealthy, starting, none, or, when it does
// not run, its state (exited, created, …).
func (l *Lab) Health(ctx context.Context, id string) (string, error) {
	c, err := l.Docker.ContainerInspect(ctx, id)
	if err != nil {
		return "", err
	}
	switch {
	case c.State.Status != container.StateRunning:
		return c.State.Status, nil
	case c.State.Health == nil:
		return container.NoHealthcheck, nil
	}
	return c.State.Health.Status, nil
}

// WaitHealthy waits until all containers of the service are healthy.
func (l *Lab) WaitHealthy(ctx context.Context, service string) error {
	return l.waitHealth(ctx, service, container.Healthy)
}

// WaitUnhealthy waits until all containers of the service are unhealthy.
func (l *Lab) WaitUnhealthy(ctx context.Context, service string) error {
	return l.waitHealth(ctx, service, container.Unhealthy)
}

// WaitExited waits until no container of the service runs.
func (l *Lab) WaitExited(ctx context.Context, service string) error {
	return l.waitHealth(ctx, service, container.StateExited)
}

// waitHealth looks again whenever the engine reports an event of the run; the
// watcher listens since the lab's start, so that none falls between.
func (l *Lab) waitHealth(ctx context.Context, service, want string) error {
	var last []string
	err := l.watch.wait(ctx, service+" to be "+want, func([]Event) (bool, error) {
		ids, err := l.ContainerIDs(ctx, service)
		if err != nil {
			return false, err
		}
		last = last[:0]
		all := true
		for _, id := range ids {
			health, err := l.Health(ctx, id)
			if err != nil && !cerrdefs.IsNotFound(err) {
				return false, err
			}
			last = append(last, health)
			all = all && health == want
		}
		return all, nil
	})
	if err != nil {
		return fmt.Errorf("%w (last seen: %v)", err, last)
	}
	return nil
}

// URL of the service's first container on the host, without a path. It stays
// the same over restarts.
func (l *Lab) URL(ctx context.Context, service string) (string, error) {
	urls, err := l.URLs(ctx, service)
	if err != nil {
		return "", err
	}
	return urls[0], nil
}

// URLs of all containers of the service on the host, by container number.
func (l *Lab) URLs(ctx context.Context, service string) ([]string, error) {
	ids, err := l.ContainerIDs(ctx, service)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, id := range ids {
		c, err := l.Docker.ContainerInspect(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, bindings := range c.HostConfig.PortBindings {
			for _, b := range bindings {
				urls = append(urls, "http://"+b.HostIP+":"+b.HostPort)
			}
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("service %s publishes no port", service)
	}
	return urls, nil
}

// Address of the service's first container in the project's network, without a
// port. A restart may change it.
func (l *Lab) Address(ctx context.Context, service string) (string, error) {
	ids, err := l.ContainerIDs(ctx, service)
	if err != nil {
		return "", err
	}
	c, err := l.Docker.ContainerInspect(ctx, ids[0])
	if err != nil {
		return "", err
	}
	for _, n := range c.NetworkSettings.Networks {
		if n.IPAddress != "" {
			return n.IPAddress, nil
		}
	}
	return "", fmt.Errorf("service %s has no address: its container is %s", service, c.State.Status)
}
