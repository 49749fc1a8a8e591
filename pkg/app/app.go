// Package app is the composition root: it builds everything from a configuration,
// swaps what a reload may change, and stops in the reverse order.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/sqlite"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/metrics"
)

// Options of the daemon, from the command line.
type Options struct {
	ConfigFile    string
	ListenAddress string
	WebConfigFile string
	WebInsecure   bool
	DryRun        bool
	Logger        *zap.Logger
	// Boundary is for tests, see engine.Options.
	Boundary func(name string)
	// Now is for tests: the engine's clock.
	Now func() time.Time
}

// stopBudget is how long a graceful stop may take: the current step is finished.
const stopBudget = 60 * time.Second

// App is the daemon.
type App struct {
	opts    Options
	log     *zap.Logger
	file    *config.File
	built   *Built
	journal *audit.Log
	ledger  *ledger.Ledger
	engine  *engine.Engine
	reader  *reader
	metrics *metrics.Metrics
	server  *handlers.Server

	reloading sync.Mutex            // one reload at a time; guards file and built
	inForce   atomic.Pointer[Built] // built, for readers
	stops     []func(context.Context) error
}

// Start builds and starts the daemon: store, history, engine, then the listener,
// so that nothing is accepted before it can be kept.
func Start(ctx context.Context, o Options) (*App, error) {
	a := &App{opts: o, log: o.Logger, ledger: ledger.New()}
	if err := a.start(ctx); err != nil {
		_ = a.Stop(ctx)
		return nil, err
	}
	return a, nil
}

func (a *App) start(ctx context.Context) error {
	var err error
	if a.file, err = config.Load(a.opts.ConfigFile, config.Options{}); err != nil {
		return err
	}
	if a.built, err = build(ctx, a.file, a.opts.DryRun, a.log); err != nil {
		return err
	}
	a.inForce.Store(a.built)
	a.later(func(context.Context) error { return a.built.Close() })
	for _, w := range a.file.Warnings() {
		a.log.Warn(w)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics = metrics.New(registry)
	if err := a.openJournal(ctx); err != nil {
		return err
	}
	a.engine = engine.New(engine.Options{
		Journal: a.journal, Ledger: a.ledger, Snapshot: a.built.Snapshot, Logger: a.log, Metrics: a.metrics,
		Version: Version(), Boundary: a.opts.Boundary, Now: a.opts.Now,
	})
	a.reader = &reader{log: a.journal, ledger: a.ledger, engine: a.engine, started: time.Now()}
	a.reader.upstreams = func() []handlers.Upstream { return a.running().upstreams.shown() }
	metrics.Watch(registry, a.reader.state)
	a.reader.loaded.Store(&loaded{at: time.Now()})
	a.metrics.Loaded(true, a.built.Snapshot.Hash, string(a.built.Snapshot.Mode), time.Now())
	if err := a.buildServer(registry); err != nil {
		return err
	}
	a.built.follow(ctx, a.engine.WorldChanged)
	watch := a.built.upstreams.follow(a.ledger, a.tellUpstream, a.hooks())
	if err := a.engine.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	a.later(a.engine.Stop)
	watch.Start(context.WithoutCancel(ctx))
	a.later(func(context.Context) error { a.built.upstreams.watch.Load().Stop(); return nil })
	a.log.Info("started", zap.String("version", Version()), zap.String("mode", string(a.built.Snapshot.Mode)),
		zap.String("config", a.file.Hash()), zap.Int("policies", len(a.built.Snapshot.Runbooks)),
		zap.String("replica", a.journal.Replica()), zap.Uint64("head_seq", a.journal.Head().Seq), zap.String("head_hash", a.journal.Head().Hash))
	if err := a.server.Start(ctx); err != nil {
		return err
	}
	a.later(a.server.Shutdown)
	return nil
}

// openJournal opens the store, reads history from it and starts the writer.
func (a *App) openJournal(ctx context.Context) error {
	path := a.file.Config.Storage.Path
	store, err := sqlite.Open(ctx, sqlite.Options{Path: path, Replica: a.file.Config.Replica})
	if err != nil {
		return err
	}
	begin := time.Now()
	n := 0
	err = store.Scan(ctx, audit.Filter{}, func(s audit.Stored) error {
		a.ledger.Apply([]*audit.Record{s.Record})
		n++
		return nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("history: %w", err), store.Close())
	}
	a.log.Info("history read", zap.Int("records", n), zap.Duration("took", time.Since(begin)), zap.String("store", path))
	a.journal, err = audit.Open(ctx, store, audit.Options{
		Key: audit.Key([]byte(a.file.Config.Audit.Key)), Logger: a.log.Named("audit"), OnCommit: a.committed,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	a.metrics.Head(a.journal.Head())
	a.later(func(context.Context) error {
		h := a.journal.Head()
		a.log.Info("audit head", zap.String("replica", h.Replica), zap.Uint64("seq", h.Seq), zap.String("hash", h.Hash))
		return a.journal.Close()
	})
	return nil
}

// committed runs in the writer for each committed batch.
func (a *App) committed(recs []*audit.Record) {
	a.ledger.Apply(recs)
	a.metrics.Committed(recs)
	if a.engine != nil {
		a.engine.Committed(recs)
	}
}

func (a *App) buildServer(registry *prometheus.Registry) error {
	var err error
	a.server, err = handlers.NewServer(handlers.Options{
		Deps: handlers.Deps{
			Intake: intake{a.reader, a.engine}, Health: a.reader, Reader: a.reader, Journal: a.reader,
			Controller: controller{a.engine, a.Reload},
			Metrics:    promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
			ParseFilter: func(v url.Values) (audit.Filter, error) {
				v.Del("follow")
				return audit.FilterFromValues(v, time.Now())
			},
			Logger: a.log,
		},
		Address: a.opts.ListenAddress, WebConfigFile: a.opts.WebConfigFile, Insecure: a.opts.WebInsecure,
		Access: a.file.Config.Web, Socket: SocketPath(a.file), Registerer: registry,
	})
	return err
}

func (a *App) later(stop func(context.Context) error) { a.stops = append(a.stops, stop) }

// Reload builds everything anew and swaps only when all of it could be built; the
// last good configuration stays otherwise.
func (a *App) Reload(ctx context.Context, actor string) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	err := a.reload(ctx, actor)
	now := time.Now()
	if err == nil {
		snap := a.built.Snapshot
		a.reader.loaded.Store(&loaded{at: now})
		a.metrics.Loaded(true, snap.Hash, string(snap.Mode), now)
		a.log.Info("configuration reloaded", zap.String("config", snap.Hash), zap.String("mode", string(snap.Mode)), zap.String("actor", actor))
		return nil
	}
	a.metrics.Loaded(false, "", "", now)
	a.reader.loaded.Store(&loaded{at: a.reader.loaded.Load().at, error: err.Error()})
	a.log.Error("configuration rejected; the last good one stays in force", zap.String("actor", actor), zap.Error(err))
	if rerr := a.engine.Rejected(ctx, actor, err.Error()); rerr != nil {
		a.log.Error("the rejection is not recorded", zap.Error(rerr))
	}
	return fmt.Errorf("%w: %w", handlers.ErrRejected, err)
}

func (a *App) reload(ctx context.Context, actor string) error {
	file, err := config.Load(a.opts.ConfigFile, config.Options{})
	if err != nil {
		return err
	}
	if err := pinned(a.file.Config, file.Config); err != nil {
		return err
	}
	built, err := build(ctx, file, a.opts.DryRun, a.log)
	if err != nil {
		return err
	}
	guard, err := a.server.PrepareAccess(file.Config.Web)
	if err != nil {
		return errors.Join(err, built.Close())
	}
	built.follow(ctx, a.engine.WorldChanged)
	back := a.swapUpstreams(ctx, a.built, built)
	// Where the caller gave up in the middle, the engine may have swapped all the same.
	if err := a.engine.Reload(ctx, built.Snapshot, actor); err != nil && a.engine.Snapshot() != built.Snapshot {
		back()
		return errors.Join(err, built.Close())
	}
	a.server.SwapAccess(guard)
	old := a.built
	a.file, a.built = file, built
	a.inForce.Store(built)
	// This ends idle connections only: running remediations may still use the old
	// clients.
	if err := old.Close(); err != nil {
		a.log.Warn("clients of the configuration before were not closed", zap.Error(err))
	}
	return nil
}

// pinned refuses what the store, once open, cannot follow.
func pinned(old, young config.Config) error {
	var changed []string
	for name, same := range map[string]bool{
		"storage.path": old.Storage.Path == young.Storage.Path,
		"replica":      old.Replica == young.Replica,
		"audit.key":    old.Audit.Key == young.Audit.Key,
	} {
		if !same {
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	slices.Sort(changed)
	return fmt.Errorf("%s changed: restart remediator for that, or put it back", strings.Join(changed, ", "))
}

// running is what is in force.
func (a *App) running() *Built { return a.inForce.Load() }

// Addr is where the daemon listens.
func (a *App) Addr() string { return a.server.Addr().String() }

// Run serves until ctx ends, then stops gracefully. hup asks for a reload.
func (a *App) Run(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			a.log.Info("stopping: the current step of each remediation is finished first")
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBudget)
			defer cancel()
			return a.Stop(stop)
		case <-hup:
			_ = a.Reload(ctx, "system") // logged and recorded
		case err := <-a.server.Failed():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBudget)
			defer cancel()
			return errors.Join(err, a.Stop(stop))
		}
	}
}

// Stop stops everything in the reverse order of its start. What still comes over
// open connections meanwhile is answered 503.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for _, stop := range slices.Backward(a.stops) {
		errs = append(errs, stop(ctx))
	}
	a.stops = nil
	return errors.Join(errs...)
}
