// Package dockerproxy is an HTTP proxy on a unix socket in front of the Docker
// Engine's. In read-only mode it refuses, and remembers, every method but GET
// and HEAD: what runs behind it changes nothing, or is caught. Its rules provoke
// faults: answers that stall, fail or are cut off, and things that happen
// between two requests. Events, logs and exec stream through it.
package dockerproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Call is one request that reached the proxy. Path is without the API version.
type Call struct{ Method, Path string }

// String is "POST /containers/x/restart".
func (c Call) String() string { return c.Method + " " + c.Path }

// Proxy is running until Close. Its methods may be called at any time.
type Proxy struct {
	dir, socket, engine string
	upstream            *httputil.ReverseProxy
	transport           *http.Transport

	mu         sync.Mutex
	server     *http.Server  // guarded by mu; nil while refusing
	served     chan struct{} // guarded by mu; closed when server has ended
	readOnly   bool          // guarded by mu
	rules      []*Rule       // guarded by mu
	calls      []Call        // guarded by mu
	violations []Call        // guarded by mu
	changed    chan struct{} // guarded by mu; closed at each call
}

// Start starts a proxy in front of the engine's socket; an empty path is
// /var/run/docker.sock. The caller closes it.
func Start(ctx context.Context, engine string) (*Proxy, error) {
	if engine == "" {
		engine = "/var/run/docker.sock"
	}
	dir, err := os.MkdirTemp("", "dockerproxy-") // short: a socket's path has 107 bytes
	if err != nil {
		return nil, err
	}
	p := &Proxy{dir: dir, socket: filepath.Join(dir, "docker.sock"), engine: engine, changed: make(chan struct{})}
	p.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.engine)
		},
		DisableKeepAlives: true,
	}
	p.upstream = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport:     p.transport,
		FlushInterval: -1, // events and logs at once
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				answer(w, http.StatusBadGateway, "dockerproxy: "+err.Error())
			}
		},
	}
	if err := p.Allow(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// Host is the address for a Docker client: unix:///….
func (p *Proxy) Host() string { return "unix://" + p.socket }

// ReadOnly turns the read-only mode on or off.
func (p *Proxy) ReadOnly(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readOnly = on
}

// Violations are the requests that the read-only mode refused.
func (p *Proxy) Violations() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.violations...)
}

// Calls are all requests so far, refused ones included.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// WaitCall waits until at least n requests had the method and matched the path.
func (p *Proxy) WaitCall(ctx context.Context, method, path string, n int) error {
	pattern, err := regexp.Compile(path)
	if err != nil {
		return err
	}
	for {
		p.mu.Lock()
		count, changed := 0, p.changed
		for _, c := range p.calls {
			if c.Method == method && pattern.MatchString(c.Path) {
				count++
			}
		}
		p.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s %s: %w", method, path, context.Cause(ctx))
		}
	}
}

// Refuse takes the engine away: open connections are cut, new ones refused.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	server, served := p.server, p.served
	p.server = nil
	p.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	return err
}

// Allow brings it back after Refuse.
func (p *Proxy) Allow(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", p.socket)
	if err != nil {
		return err
	}
	// The engine can be away for its streams only if they know: hijacked and
	// streamed requests end with this context.
	base, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return base },
	}
	served := make(chan struct{})
	p.server, p.served = server, served
	go func() {
		defer close(served)
		defer cancel()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.mu.Lock()
			p.server = nil
			p.mu.Unlock()
		}
	}()
	return nil
}

// Close ends the proxy and removes its socket.
func (p *Proxy) Close() error {
	p.ClearRules()
	err := p.Refuse()
	p.transport.CloseIdleConnections()
	return errors.Join(err, os.RemoveAll(p.dir))
}
