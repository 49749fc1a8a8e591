package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Wedge makes the service hang: it accepts connections and answers nothing. A
// restart cures it.
func (l *Lab) Wedge(ctx context.Context, service string) error {
	return l.WedgeFor(ctx, service, 0)
}

// WedgeFor makes the service hang over the next n restarts as well; -1: until
// Heal or a new container.
func (l *Lab) WedgeFor(ctx context.Context, service string, restarts int) error {
	return l.control(ctx, service, "mode", url.Values{"mode": {"hang"}, "restarts": {strconv.Itoa(restarts)}})
}

// Break makes /health answer 500, over the next n restarts as well.
func (l *Lab) Break(ctx context.Context, service string, restarts int) error {
	return l.control(ctx, service, "mode", url.Values{"mode": {"error"}, "restarts": {strconv.Itoa(restarts)}})
}

// Heal ends Wedge and Break without a restart.
func (l *Lab) Heal(ctx context.Context, service string) error {
	return l.control(ctx, service, "mode", url.Values{"mode": {"ok"}})
}

// ExitInside makes the service's programs end by themselves with the code.
func (l *Lab) ExitInside(ctx context.Context, service string, code int) error {
	err := l.control(ctx, service, "exit", url.Values{"code": {strconv.Itoa(code)}})
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil // it was gone before its answer had left
	}
	return err
}

// Spin burns all CPUs that the service may use.
func (l *Lab) Spin(ctx context.Context, service string, d time.Duration) error {
	return l.control(ctx, service, "spin", url.Values{"for": {d.String()}})
}

// Leak makes each container of the service hold that much more memory. Beyond
// its limit the kernel kills it and the answer is an error.
func (l *Lab) Leak(ctx context.Context, service string, mib int) error {
	return l.control(ctx, service, "leak", url.Values{"mib": {strconv.Itoa(mib)}})
}

// Log makes the service print the line count times, to standard output.
func (l *Lab) Log(ctx context.Context, service, line string, count int) error {
	return l.control(ctx, service, "log", url.Values{"line": {line}, "count": {strconv.Itoa(count)}})
}

// control asks every container of the service.
func (l *Lab) control(ctx context.Context, service, what string, form url.Values) error {
	urls, err := l.URLs(ctx, service)
	if err != nil {
		return err
	}
	for _, u := range urls {
		if err := call(ctx, http.MethodPost, u+"/control/"+what+"?"+form.Encode(), nil, nil); err != nil {
			return fmt.Errorf("%s of service %s: %w", what, service, err)
		}
	}
	return nil
}

// call sends body as it is and decodes a 2xx answer into out, unless nil. Its
// connection is not kept, so that no goroutine is left with it.
func call(ctx context.Context, method, target string, body io.Reader, out any) (err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	req.Close = true
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, text)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Stop stops the service's containers as a person would, by `docker stop`.
func (l *Lab) Stop(ctx context.Context, service string) error {
	return l.each(ctx, service, func(id string) error { return l.Docker.ContainerStop(ctx, id, container.StopOptions{}) })
}

// StartService starts the service's containers as a person would.
func (l *Lab) StartService(ctx context.Context, service string) error {
	return l.each(ctx, service, func(id string) error { return l.Docker.ContainerStart(ctx, id, container.StartOptions{}) })
}

// Restart restarts the service's containers as a person would.
func (l *Lab) Restart(ctx context.Context, service string) error {
	return l.each(ctx, service, func(id string) error { return l.Docker.ContainerRestart(ctx, id, container.StopOptions{}) })
}

// Kill kills the service's containers from outside, by SIGKILL.
func (l *Lab) Kill(ctx context.Context, service string) error {
	return l.each(ctx, service, func(id string) error { return l.Docker.ContainerKill(ctx, id, "KILL") })
}

// Remove removes the service's containers.
func (l *Lab) Remove(ctx context.Context, service string) error {
	return l.each(ctx, service, func(id string) error { return removeContainer(ctx, l.Docker, id) })
}

// Recreate removes the service's containers and makes them anew from the same
// spec, as `docker compose up --force-recreate` would: new ids.
func (l *Lab) Recreate(ctx context.Context, service string) error {
	l.mu.Lock()
	spec, ok := l.services[service]
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("service %s is not of stand-in containers", service)
	}
	if err := l.Remove(ctx, service); err != nil {
		return err
	}
	return l.Service(ctx, spec)
}

func (l *Lab) each(ctx context.Context, service string, f func(id string) error) error {
	ids, err := l.ContainerIDs(ctx, service)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := f(id); err != nil {
			return fmt.Errorf("service %s: %w", service, err)
		}
	}
	return nil
}
