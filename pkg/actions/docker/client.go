package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/sockets"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// Labels that both versions of Compose put on every container.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelNumber  = "com.docker.compose.container-number"
	labelOneOff  = "com.docker.compose.oneoff"
)

// Reader is what remediator reads from an engine.
type Reader interface {
	// Containers of a Compose service in any state, by container number; those of
	// `docker compose run` are none of them.
	Containers(ctx context.Context, project, service string) ([]Container, error)
	Inspect(ctx context.Context, id string) (Container, error)
	// Logs are the newest lines of standard output and error, oldest first, and
	// whether more was cut off.
	Logs(ctx context.Context, c Container, since time.Time, tail int) (text string, cut bool, err error)
	// Events of containers of a service from a time on, until ctx ends. One error
	// ends it.
	Events(ctx context.Context, project, service string, since time.Time) (<-chan Event, <-chan error)
}

// Changer is what remediator changes through an engine. Timeouts are how long a
// container may take to stop, in seconds; nil: its own, or the engine's 10.
type Changer interface {
	Restart(ctx context.Context, id string, timeout *int) error
	Start(ctx context.Context, id string) error
	Stop(ctx context.Context, id string, timeout *int) error
}

// Container is what is known of one container.
type Container struct {
	ID, Name     string
	Labels       map[string]string
	Status       string // created, running, paused, restarting, removing, exited, dead
	Health       string // starting, healthy, unhealthy; "" without a health check
	ExitCode     int
	OOMKilled    bool
	Error        string
	RestartCount int
	StartedAt    time.Time
	FinishedAt   time.Time
	StopTimeout  *int // seconds; nil: the engine's default
	TTY          bool
	IPs          []netip.Addr
	Published    []netip.AddrPort
}

// Event is something that happened to a container.
type Event struct {
	ID     string
	Action string // start, die, health_status: healthy, …
	Time   time.Time
}

// engineClient speaks to one engine. Only this file knows the client library.
type engineClient struct{ c *client.Client }

// readOnly refuses every request that could change something, so that a reading
// client cannot, whatever its caller does.
type readOnly struct{ next http.RoundTripper }

// RoundTrip passes GET and HEAD.
func (r readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, fmt.Errorf("docker: %s %s refused: this client only reads", req.Method, req.URL.Path)
	}
	return r.next.RoundTrip(req)
}

// dial makes a client; it connects at the first request and negotiates the version
// of the API then.
func dial(host string, reads bool) (*engineClient, error) {
	u, err := client.ParseHostURL(host)
	if err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	transport := &http.Transport{}
	addr := u.Host
	if u.Scheme == "unix" {
		addr = u.Host + u.Path
	}
	if err := sockets.ConfigureTransport(transport, u.Scheme, addr); err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	var rt http.RoundTripper = transport
	if reads {
		rt = readOnly{transport}
	}
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithHTTPClient(&http.Client{Transport: rt}), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	return &engineClient{c}, nil
}

// failure gives an error of the client its code.
func failure(err error) error {
	if err == nil {
		return nil
	}
	code := actions.CodeFailed
	switch {
	case cerrdefs.IsNotFound(err):
		code = actions.CodeTargetNotFound
	case client.IsErrConnectionFailed(err):
		code = actions.CodeUnreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), cerrdefs.IsDeadlineExceeded(err):
		code = actions.CodeTimeout
	}
	return &actions.Error{Code: code, Err: fmt.Errorf("docker: %w", err)}
}

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
		if actions.CodeOf(err) == actions.CodeTargetNotFound && err != nil {
			continue // gone meanwhile
		}
		if err != nil {
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
		StartedAt: when(in.State.StartedAt), FinishedAt: when(in.State.FinishedAt), StopTimeout: in.Config.StopTimeout, TTY: in.Config.Tty,
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
	for _, n := range ns.Networks {
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
		o.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
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
	o := events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("label", labelProject+"="+project), filters.Arg("label", labelService+"="+service),
	)}
	if !since.IsZero() {
		o.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	messages, errs := e.c.Events(ctx, o)
	out, failed := make(chan Event), make(chan error, 1)
	go func() {
		for {
			select {
			case m := <-messages:
				select {
				case out <- Event{ID: m.Actor.ID, Action: string(m.Action), Time: time.Unix(0, m.TimeNano)}:
				case <-ctx.Done():
					failed <- ctx.Err()
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

// Restart implements Changer.
func (e *engineClient) Restart(ctx context.Context, id string, timeout *int) error {
	return failure(e.c.ContainerRestart(ctx, id, container.StopOptions{Timeout: timeout}))
}

// Start implements Changer.
func (e *engineClient) Start(ctx context.Context, id string) error {
	return failure(e.c.ContainerStart(ctx, id, container.StartOptions{}))
}

// Stop implements Changer.
func (e *engineClient) Stop(ctx context.Context, id string, timeout *int) error {
	return failure(e.c.ContainerStop(ctx, id, container.StopOptions{Timeout: timeout}))
}

// Close closes idle connections.
func (e *engineClient) Close() error { return e.c.Close() }
