package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
)

// Time limits of a connection. Writing has none: streams extend their own.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute // headers and body
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Options of a Server.
type Options struct {
	Deps
	Address       string // HOST:PORT; port 0 takes a free one
	WebConfigFile string // of exporter-toolkit, or empty
	Insecure      bool   // --web.insecure
	Access        access.Config
	Socket        string // path of control.sock, or empty for none
	Registerer    prometheus.Registerer
}

// Server listens on a TCP address and on the control socket.
type Server struct {
	o       Options
	log     *zap.Logger
	guard   atomic.Pointer[access.Guard]
	tcp     *http.Server
	control *http.Server
	closing chan struct{}

	mu      sync.Mutex // guards what follows
	started bool
	stopped bool
	addr    net.Addr
	failed  chan error // one per listener, when it ends by itself
}

// NewServer checks access, addresses and the web config, and builds the routers.
// It listens on nothing yet.
func NewServer(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Registerer == nil {
		return nil, errors.New("handlers: no registerer for metrics")
	}
	s := &Server{o: o, log: o.Logger, closing: make(chan struct{}), failed: make(chan error, 2)}
	guard, err := s.PrepareAccess(o.Access)
	if err != nil {
		return nil, err
	}
	s.guard.Store(guard)
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	a := &api{Deps: o.Deps, metrics: m, closing: s.closing, origin: http.NewCrossOriginProtection()}
	s.tcp = s.server(a.routes(currentGate{s}))
	s.control = s.server(a.routes(peerGate{}))
	s.control.ConnContext = withPeer
	return s, nil
}

func (s *Server) server(h http.Handler) *http.Server {
	errorLog, err := zap.NewStdLogAt(s.log.Named("http"), zapcore.WarnLevel)
	if err != nil {
		errorLog = nil // unreachable: the level is a known one
	}
	return &http.Server{
		Handler: h, ErrorLog: errorLog,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// currentGate is the guard that is current when the request comes.
type currentGate struct{ s *Server }

func (g currentGate) Authorize(r *http.Request, need access.Need) (access.Identity, error) {
	return g.s.guard.Load().Authorize(r, need)
}

func (g currentGate) RequireContentType() bool { return g.s.guard.Load().RequireContentType() }

// PrepareAccess builds the guard of a new web section without using it, so that
// a reload can build everything before it swaps. It refuses what a start would.
func (s *Server) PrepareAccess(c access.Config) (*access.Guard, error) {
	return access.New(access.Options{
		Config: c, Address: s.o.Address, WebConfigFile: s.o.WebConfigFile,
		Insecure: s.o.Insecure, Logger: s.log.Named("access"),
	})
}

// SwapAccess makes the guard that of every later request.
func (s *Server) SwapAccess(g *access.Guard) { s.guard.Store(g) }

// Start listens and serves until Shutdown. It returns once both listeners accept
// connections, or with the reason why one cannot.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return errors.New("handlers: the server was started before")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.o.Address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.o.Address, err)
	}
	var socket *controlListener
	if s.o.Socket != "" {
		if socket, err = listenControl(ctx, s.o.Socket); err != nil {
			return errors.Join(err, l.Close())
		}
		go s.serve(func() error { return s.control.Serve(socket) })
		s.log.Info("control socket ready", zap.String("path", s.o.Socket))
	}
	s.started, s.addr = true, l.Addr()
	go s.serve(func() error { return s.serveTCP(l) })
	guard := s.guard.Load()
	if guard.Mode() == "none" {
		s.log.Warn("anybody who reaches the address can read and post alerts: --web.insecure is set and no authentication configured")
	}
	s.log.Info("listening", zap.String("address", l.Addr().String()), zap.Bool("tls", guard.TLS()), zap.String("access", guard.Mode()))
	return nil
}

// serveTCP leaves TLS and basic auth to exporter-toolkit. Its own lines at info
// level repeat ours.
func (s *Server) serveTCP(l net.Listener) error {
	quiet := s.log.WithOptions(zap.IncreaseLevel(zapcore.WarnLevel))
	logger := slog.New(zapslog.NewHandler(quiet.Core(), zapslog.WithName("web")))
	return web.Serve(l, s.tcp, &web.FlagConfig{WebConfigFile: &s.o.WebConfigFile}, logger)
}

func (s *Server) serve(run func() error) {
	if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.failed <- fmt.Errorf("serving HTTP ended: %w", err)
	}
}

// Failed delivers why a listener ended by itself. It is not closed.
func (s *Server) Failed() <-chan error { return s.failed }

// Addr is where TCP is listened on; nil before Start.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Shutdown stops accepting, ends streams, waits for requests under way until ctx
// ends, and then cuts them off. It may be called at any time, more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	s.mu.Unlock()
	if first {
		close(s.closing)
	}
	var errs []error
	for _, server := range []*http.Server{s.tcp, s.control} {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, err, server.Close())
		}
	}
	return errors.Join(errs...)
}
