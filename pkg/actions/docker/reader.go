package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/stellarescrow/remediator/pkg/actions"
)

var _ Reader = (*engineClient)(nil)

// Containers implements Reader.
func (e *engineClient) Containers(ctx context.Context, project, service string) ([]Container, error) {
	list, err := e.c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelProject+"="+project), filters.Arg("label", labelService+"="+service),
	)})
	if err != nil {
		return nil, failure(err)
	}
	var out []Container
	for _, s := range list {
		if strings.EqualFold(s.Labels[labelOneOff], "true") {
			continue
		}
		c, err := e.Inspect(ctx, s.ID)
		if err != nil {
			if actions.CodeOf(err) == actions.CodeTargetNotFound {
				continue // gone meanwhile
			}
			return nil, err
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Container) int { return number(a) - number(b) })
	return out, nil
}

func number(c Container) int {
	n, _ := strconv.Atoi(c.Labels[labelNumber])
	return n
}

// Inspect implements Reader.
func (e *engineClient) Inspect(ctx context.Context, id string) (Container, error) {
	in, err := e.c.ContainerInspect(ctx, id)
	if err != nil {
		return Container{}, failure(err)
	}
	if in.ContainerJSONBase == nil || in.State == nil || in.Config == nil {
		return Container{}, &actions.Error{Code: actions.CodeUnreachable, Err: fmt.Errorf("docker: the answer about %s is incomplete", id)}
	}
	out := Container{
		ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"), Labels: in.Config.Labels, Status: in.State.Status,
		ExitCode: in.State.ExitCode, OOMKilled: in.State.OOMKilled, Error: in.State.Error, RestartCount: in.RestartCount,
		CreatedAt: when(in.Created), StartedAt: when(in.State.StartedAt), FinishedAt: when(in.State.FinishedAt), StopTimeout: in.Config.StopTimeout, StopSignal: in.Config.StopSignal, TTY: in.Config.Tty,
	}
	if in.HostConfig != nil {
		out.Restarts = string(in.HostConfig.RestartPolicy.Name)
	}
	if h := in.State.Health; h != nil && h.Status != container.NoHealthcheck {
		out.Health = h.Status
	}
	if in.NetworkSettings != nil {
		out.IPs, out.Published = addresses(in.NetworkSettings)
	}
	return out, nil
}

func when(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// addresses are a container's own and those published for it on the host.
func addresses(ns *container.NetworkSettings) (ips []netip.Addr, published []netip.AddrPort) {
	for _, name := range slices.Sorted(maps.Keys(ns.Networks)) {
		n := ns.Networks[name]
		if n == nil {
			continue
		}
		for _, s := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if ip, err := netip.ParseAddr(s); err == nil {
				ips = append(ips, ip)
			}
		}
	}
	for _, bindings := range ns.Ports {
		for _, b := range bindings {
			ip, err := netip.ParseAddr(b.HostIP)
			if err != nil {
				ip = netip.IPv4Unspecified()
			}
			if port, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil {
				published = append(published, netip.AddrPortFrom(ip, uint16(port)))
			}
		}
	}
	return ips, published
}

// maxLogs bounds what is read of one container's log, in bytes.
const maxLogs = 4 << 20

// Logs implements Reader.
func (e *engineClient) Logs(ctx context.Context, c Container, since time.Time, tail int) (string, bool, error) {
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "all"}
	if tail > 0 {
		o.Tail = strconv.Itoa(tail)
	}
	if !since.IsZero() {
		o.Since = engineTime(since)
	}
	body, err := e.c.ContainerLogs(ctx, c.ID, o)
	if err != nil {
		return "", false, failure(err)
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body, N: maxLogs}
	var out bytes.Buffer
	if c.TTY { // then the stream has no frames
		_, err = io.Copy(&out, limited)
	} else {
		_, err = stdcopy.StdCopy(&out, &out, limited)
	}
	cut := limited.N <= 0
	if err != nil && !cut {
		return out.String(), cut, failure(err)
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD"), cut, nil
}

// Events implements Reader.
func (e *engineClient) Events(ctx context.Context, project, service string, since time.Time) (<-chan Event, <-chan error) {
	args := eventFilters(project)
	if service != "" {
		args.Add("label", labelService+"="+service)
	}
	o := events.ListOptions{Filters: args}
	if !since.IsZero() {
		o.Since = engineTime(since)
	}
	messages, errs := e.c.Events(ctx, o)
	out, failed := make(chan Event), make(chan error, 1)
	go func() {
		for {
			select {
			case m := <-messages:
				select {
				case out <- eventOf(m):
				case <-ctx.Done():
					failed <- failure(ctx.Err())
					return
				}
			case err := <-errs:
				failed <- failure(err)
				return
			}
		}
	}()
	return out, failed
}
