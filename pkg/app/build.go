package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/diagnose"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/actions/httpget"
	"github.com/stellarescrow/remediator/pkg/actions/httprequest"
	"github.com/stellarescrow/remediator/pkg/actions/tell"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/alertmanager"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/sqlite"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// Built is everything that a configuration leads to.
type Built struct {
	Snapshot  *engine.Snapshot
	engines   *docker.Engines
	upstreams *upstreams
	world     *docker.Watcher
	changed   atomic.Pointer[func()] // told of changes of services
}

// Close stops watching services and closes clients.
func (b *Built) Close() error {
	b.world.Stop()
	return b.engines.Close()
}

// selfBudget bounds looking for remediator's own container at a start or reload.
const selfBudget = 3 * time.Second

// Build compiles a configuration. It connects to nothing, but for asking Docker
// whether remediator itself runs in one of the declared services. forceDry is
// --dry-run.
func Build(ctx context.Context, f *config.File, forceDry bool) (*Built, error) {
	return build(ctx, f, forceDry, zap.NewNop())
}

func build(ctx context.Context, f *config.File, forceDry bool, log *zap.Logger) (*Built, error) {
	engines, err := docker.New(dockerConfigs(f))
	if err != nil {
		return nil, err
	}
	snap, err := compile(f, engines, forceDry)
	if err != nil {
		engines.Close()
		return nil, err
	}
	ups, err := newUpstreams(f)
	if err != nil {
		return nil, errors.Join(err, engines.Close())
	}
	if len(ups.configs) > 0 {
		snap.Upstreams = ups
	}
	ask, cancel := context.WithTimeout(ctx, selfBudget)
	defer cancel()
	_ = snap.Self.Learn(ask) // else it is asked again before every effect
	built := &Built{Snapshot: snap, engines: engines, upstreams: ups}
	built.world = engines.Watch(docker.WatchOptions{Logger: log.Named("services"), Changed: func() {
		if tell := built.changed.Load(); tell != nil {
			(*tell)()
		}
	}})
	if len(f.Config.Docker) > 0 {
		snap.World = built.world
	}
	return built, nil
}

// lookBudget bounds the first look at services.
const lookBudget = 5 * time.Second

// follow looks at services and follows them from then on. What cannot be looked at
// is unknown until it can.
func (b *Built) follow(ctx context.Context, tell func()) {
	look, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	_, _ = b.world.Refresh(look) // the watcher logs what it could not see
	b.changed.Store(&tell)
	b.world.Start(context.WithoutCancel(ctx))
}

func dockerConfigs(f *config.File) []docker.Config {
	var out []docker.Config
	for _, d := range f.Config.Docker {
		out = append(out, docker.Config{Name: d.Name, Host: d.Host, Project: d.Project, Services: d.Services, DependsOn: d.DependsOn})
	}
	return out
}

func compile(f *config.File, engines *docker.Engines, forceDry bool) (*engine.Snapshot, error) {
	snap := &engine.Snapshot{
		Hash: f.Hash(), Mode: f.Config.Mode, Runbooks: map[string]*engine.Runbook{}, GlobalLimits: config.Limits(f.Config.GlobalLimits),
		MaxConcurrent: f.Config.BlastRadius.MaxConcurrent, Self: &engine.Self{Ask: engines.SelfTarget}, Targets: map[string]bool{},
	}
	if forceDry {
		snap.Mode = policy.DryRun
	}
	redactor := actions.NewRedactor(f.Secrets())
	snap.Redact, snap.RedactPlan, snap.RedactText = redactor.Result, redactor.Plan, redactor.Text
	if am := f.Config.Alertmanager; am != nil {
		client, err := alertmanager.New(am.URL, am.HTTP)
		if err != nil {
			return nil, err
		}
		snap.Alerts = client
	}
	registry, err := newRegistry(f, engines, snap)
	if err != nil {
		return nil, err
	}
	c := &compiler{registry: registry}
	var policies []*policy.Policy
	for i := range f.Config.Policies {
		rb := c.runbook(f, &f.Config.Policies[i])
		snap.Runbooks[rb.Policy.Name] = rb
		policies = append(policies, rb.Policy)
	}
	c.guards(f, engines, snap)
	if err := f.Report(c.found); err != nil {
		return nil, err
	}
	snap.Policies = policy.NewSet(policies)
	for _, t := range append(engines.Targets(), httprequest.Targets(httpEntries(f))...) {
		snap.Targets[t] = true
	}
	// In dry run there is nothing that could change anything: not even clients.
	if snap.Mode == policy.Live {
		hands := engines.Hands()
		maps.Copy(hands, httprequest.Hands(httpEntries(f), engines))
		snap.Hands = actions.NewHands(hands)
	}
	return snap, nil
}

// newRegistry is the list of all kinds. Adding a technology is a line here.
func newRegistry(f *config.File, engines *docker.Engines, snap *engine.Snapshot) (*actions.Registry, error) {
	var receivers []string
	for _, r := range f.Config.Receivers {
		receivers = append(receivers, r.Name)
	}
	entries := httpEntries(f)
	return actions.NewRegistry(
		engines.Kinds(),
		httpget.Kinds(entries, engines),
		httprequest.Kinds(entries, engines),
		tell.Kinds(receivers),
		diagnose.Kinds(engines, firingAlerts(snap), httpget.Probes(entries, engines)),
	)
}

func httpEntries(f *config.File) []httpget.Entry {
	var out []httpget.Entry
	for _, h := range f.Config.HTTP {
		out = append(out, httpget.Entry{Name: h.Name, Service: h.Service, URL: h.URL, Bearer: h.Bearer})
	}
	return out
}

// firingAlerts is what diagnose shows of Alertmanager; nothing when it is not known.
func firingAlerts(snap *engine.Snapshot) func(context.Context) ([]alert.Alert, error) {
	return func(ctx context.Context) ([]alert.Alert, error) {
		if snap.Alerts == nil {
			return nil, nil
		}
		current, _, err := snap.Alerts.Current(ctx)
		if err != nil {
			return nil, err
		}
		var out []alert.Alert
		for _, fp := range slices.Sorted(maps.Keys(current)) {
			out = append(out, current[fp].Alert)
		}
		return out, nil
	}
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// OpenStore opens the configured store for reading, also one in use.
func OpenStore(ctx context.Context, f *config.File) (audit.Driver, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: f.Config.Storage.Path, ReadOnly: true})
}

// SocketPath is the control socket of the daemon with this configuration.
func SocketPath(f *config.File) string {
	return filepath.Join(filepath.Dir(f.Config.Storage.Path), "control.sock")
}

// Plan says what would be done about a notification that arrives at a time, with
// the history of the configured store where there is one. It changes nothing.
func Plan(ctx context.Context, f *config.File, n *alert.Notification, received time.Time) ([]engine.Planned, error) {
	built, err := Build(ctx, f, false)
	if err != nil {
		return nil, err
	}
	defer built.Close()
	history := ledger.New()
	store, err := OpenStore(ctx, f)
	switch {
	case errors.Is(err, fs.ErrNotExist): // not started yet: an empty history
	case err != nil:
		return nil, fmt.Errorf("history: %w", err)
	default:
		err = store.Scan(ctx, audit.Filter{}, func(s audit.Stored) error {
			history.Apply([]*audit.Record{s.Record})
			return nil
		})
		store.Close()
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
	}
	built.upstreams.askOnce(ctx, history)
	look, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	if _, err := built.world.Look(look); err != nil && len(f.Config.Docker) > 0 {
		zap.L().Warn("services cannot all be looked at", zap.Error(err))
	}
	e := engine.New(engine.Options{Ledger: history, Snapshot: built.Snapshot, Logger: zap.NewNop()})
	return e.Plan(ctx, n, received)
}
