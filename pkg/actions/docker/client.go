package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
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
	// Project is all containers of a Compose project in any state, but for those of
	// `docker compose run`. One that could not be looked at has no Status, and Error
	// says why; an error means that none could.
	Project(ctx context.Context, project string) ([]Container, error)
	// Past is what the engine still remembers of the project's containers between two
	// times of its own clock, both included, oldest first: at most its newest 256
	// events of any kind, and none from before its own start.
	Past(ctx context.Context, project string, since, until time.Time) ([]Event, error)
	// Events of containers of a service ("": of the whole project), until ctx ends or one error is sent: those
	// since a time, or, with the zero time, from now on. It returns once the engine
	// has taken the subscription or refused it.
	Events(ctx context.Context, project, service string, since time.Time) (<-chan Event, <-chan error)
}

// Changer is what remediator changes through an engine. Timeouts are how long a
// container may take to stop, in seconds; nil: its own, or the engine's 10.
//
// An error says what is known: CodeUnreachable that nothing was sent,
// CodeTargetNotFound that there is no such container, CodeFailed that the engine
// refused or failed, CodeOutcomeUnknown that the request was sent and no answer came.
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
	Restarts     string // its restart policy: no, always, unless-stopped, on-failure
	CreatedAt    time.Time
	StartedAt    time.Time
	FinishedAt   time.Time
	StopTimeout  *int   // seconds; nil: the engine's default
	StopSignal   string // "": SIGTERM
	TTY          bool
	IPs          []netip.Addr
	Published    []netip.AddrPort
}

// Event is something that happened to a container.
type Event struct {
	ID      string
	Action  string // start, die, health_status: healthy, …
	Time    time.Time
	Service string // Compose's label
	OneOff  bool   // of `docker compose run`
	Signal  string // of a kill, a number
}

// engineClient speaks to one engine. This file, reader.go, world_read.go and
// changer.go are the only ones that know the client library.
type engineClient struct {
	c         *client.Client
	transport *http.Transport
}

// readOnly refuses every request that could change something, so that a reading
// client cannot, whatever its caller does.
type readOnly struct{ next http.RoundTripper }

// RoundTrip passes GET and HEAD.
func (r readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return nil, fmt.Errorf("%s %s refused: this client only reads", req.Method, req.URL.Path)
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
	if u.Scheme != "unix" && u.Scheme != "tcp" {
		return nil, fmt.Errorf("docker host %q: %s:// is not supported yet: use unix:// or tcp://", host, u.Scheme)
	}
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	if err := sockets.ConfigureTransport(transport, u.Scheme, u.Host); err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	transport.Proxy = nil // an engine is reached directly or not at all
	var rt http.RoundTripper = gateway{transport}
	if reads {
		rt = readOnly{transport}
	}
	c, err := client.NewClientWithOpts(client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(host), client.WithHTTPClient(&http.Client{Transport: rt, CheckRedirect: client.CheckRedirect}),
		client.WithAPIVersionNegotiation(), client.WithUserAgent("remediator"))
	if err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	return &engineClient{c, transport}, nil
}

// Close closes idle connections.
func (e *engineClient) Close() error {
	e.transport.CloseIdleConnections()
	return e.c.Close()
}

// failure gives an error of a read its code: nothing was done in any case.
func failure(err error) error {
	if err == nil {
		return nil
	}
	code := actions.CodeFailed
	switch {
	case cerrdefs.IsNotFound(err):
		code = actions.CodeTargetNotFound
	case client.IsErrConnectionFailed(err), cerrdefs.IsUnavailable(err):
		code = actions.CodeUnreachable
	case timedOut(err):
		code = actions.CodeTimeout
	}
	return &actions.Error{Code: code, Err: fmt.Errorf("docker: %w", err)}
}

// timedOut: the caller's time was over, or it gave up.
func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || cerrdefs.IsDeadlineExceeded(err)
}
