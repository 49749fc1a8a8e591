package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/stellarescrow/remediator/pkg/actions"
)

var _ Changer = (*engineClient)(nil)

// Restart implements Changer.
func (e *engineClient) Restart(ctx context.Context, id string, timeout *int) error {
	return e.change(ctx, func(ctx context.Context) error {
		return e.c.ContainerRestart(ctx, id, container.StopOptions{Timeout: timeout})
	})
}

// Start implements Changer.
func (e *engineClient) Start(ctx context.Context, id string) error {
	return e.change(ctx, func(ctx context.Context) error {
		return e.c.ContainerStart(ctx, id, container.StartOptions{})
	})
}

// Stop implements Changer.
func (e *engineClient) Stop(ctx context.Context, id string, timeout *int) error {
	return e.change(ctx, func(ctx context.Context) error {
		return e.c.ContainerStop(ctx, id, container.StopOptions{Timeout: timeout})
	})
}

// change sends one request that changes something and says what is known of it
// afterwards. The engine is pinged first, which also settles the version of the
// API, so that one that is away is known to be away before anything is sent.
func (e *engineClient) change(ctx context.Context, call func(context.Context) error) error {
	ping, err := e.c.Ping(ctx)
	if err != nil {
		return &actions.Error{Code: actions.CodeUnreachable, Err: fmt.Errorf("docker: nothing was done: %w", err)}
	}
	e.c.NegotiateAPIVersionPing(ping)
	var sent atomic.Bool
	err = call(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	switch {
	case err == nil:
		return nil
	case !client.IsErrConnectionFailed(err) && !timedOut(err) && !cerrdefs.IsUnavailable(err):
		return failure(err) // the engine's own answer
	case sent.Load():
		return &actions.Error{Code: actions.CodeOutcomeUnknown, Err: fmt.Errorf("docker: the request was sent, and no answer came: %w", err)}
	default:
		return &actions.Error{Code: actions.CodeUnreachable, Err: fmt.Errorf("docker: nothing was done: %w", err)}
	}
}

// gateway takes the answers of a proxy in front of the engine that lost it in the
// middle for what they are: no answer.
type gateway struct{ next http.RoundTripper }

// RoundTrip turns 502 and 504 into an error of the connection.
func (g gateway) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := g.next.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusBadGateway && res.StatusCode != http.StatusGatewayTimeout {
		return res, err
	}
	return nil, errors.Join(fmt.Errorf("a proxy in front of the engine answered %s", res.Status), res.Body.Close())
}
