package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
	"github.com/stellarescrow/remediator/pkg/upstream/statuspage"
)

// upstreams are the third parties of one configuration, as the engine asks for them.
type upstreams struct {
	configs []upstream.Config
	pages   []upstream.Source
	watch   atomic.Pointer[upstream.Watch] // nil: not watched (yet)
}

func newUpstreams(f *config.File) (*upstreams, error) {
	u := &upstreams{configs: upstreamConfigs(f)}
	for _, c := range u.configs {
		page, err := statuspage.New(c, "remediator/"+Version())
		if err != nil {
			return nil, err
		}
		u.pages = append(u.pages, page)
	}
	return u, nil
}

// follow makes a watch that goes on from what the records say.
func (u *upstreams) follow(l *ledger.Ledger, tell func(context.Context, upstream.Change) error, hooks upstream.Hooks) *upstream.Watch {
	var list []upstream.Watched
	for i, c := range u.configs {
		w := upstream.Watched{Config: c, Source: u.pages[i]}
		if last, ok := l.View(ledger.Live).Upstream(c.Name); ok {
			w.Seed = &last.Change
		}
		list = append(list, w)
	}
	watch := upstream.NewWatch(list, tell, hooks)
	u.watch.Store(watch)
	return watch
}

// Upstreams implements engine.UpstreamSource.
func (u *upstreams) Upstreams() map[string]policy.Upstream {
	watch := u.watch.Load()
	errs, untold := map[string]string{}, map[string]bool{}
	if watch != nil {
		for _, s := range watch.States() {
			errs[s.Name], untold[s.Name] = s.LastError, s.Untold
		}
	}
	out := make(map[string]policy.Upstream, len(u.configs))
	for _, c := range u.configs {
		p := policy.Upstream{
			Name: c.Name, StaleAfter: c.StaleAfter, UnknownAllows: c.UnknownAllows,
			ResumeAfter: c.ResumeAfter, MaxSuppression: c.MaxSuppression, LastError: errs[c.Name], Untold: untold[c.Name],
		}
		if watch != nil {
			p.LastGood = watch.LastGood(c.Name)
		}
		out[c.Name] = p
	}
	return out
}

// Refresh implements engine.UpstreamSource.
func (u *upstreams) Refresh(ctx context.Context, maxAge time.Duration, names ...string) {
	if watch := u.watch.Load(); watch != nil {
		watch.Refresh(ctx, maxAge, names...)
	}
}

// shown are the upstreams for the API.
func (u *upstreams) shown() []handlers.Upstream {
	watch := u.watch.Load()
	if watch == nil {
		return nil
	}
	return shownUpstreams(watch.States())
}

// hooks log what a watch does. Of looks that fail in a row the first is a warning;
// that the page answers again is told once.
func (a *App) hooks() upstream.Hooks {
	log := a.log.Named("upstream")
	var failing sync.Map // by name: when the first look of the row failed
	return upstream.Hooks{
		Polled: func(name string, err error, took time.Duration) {
			if err != nil {
				if _, known := failing.LoadOrStore(name, time.Now()); !known {
					log.Warn("no good answer of the status page; further ones are not logged until it answers",
						zap.String("upstream", name), zap.Duration("took", took), zap.Error(err))
				}
				return
			}
			if since, failed := failing.LoadAndDelete(name); failed {
				log.Info("the status page answers again", zap.String("upstream", name), zap.Time("failed_since", since.(time.Time)))
			}
		},
		Undelivered: func(c upstream.Change, err error, wait time.Duration) {
			log.Error("a change of an upstream is not recorded yet", zap.String("upstream", c.Upstream), zap.Error(err), zap.Duration("retry_in", wait))
		},
	}
}

// tellUpstream passes a change of an upstream to the engine.
func (a *App) tellUpstream(ctx context.Context, c upstream.Change) error {
	return a.engine.UpstreamChanged(ctx, c)
}

// swapUpstreams lets the watch of a new configuration take over from the old one.
// back undoes it, where the rest of the reload fails after all.
func (a *App) swapUpstreams(ctx context.Context, old, young *Built) (back func()) {
	before := old.upstreams.watch.Load()
	after := young.upstreams.follow(a.ledger, a.tellUpstream, a.hooks())
	after.Adopt(before)
	after.Start(context.WithoutCancel(ctx))
	return func() {
		again := old.upstreams.follow(a.ledger, a.tellUpstream, a.hooks())
		again.Adopt(after)
		again.Start(context.WithoutCancel(ctx))
	}
}

// askOnce asks every page one time and adds what it said to a history that is only
// looked at: for a plan without a daemon.
func (u *upstreams) askOnce(ctx context.Context, history *ledger.Ledger) {
	watch := u.follow(history, func(context.Context, upstream.Change) error { return nil }, upstream.Hooks{})
	for _, c := range watch.Once(ctx) {
		history.Apply([]*audit.Record{{Type: audit.UpstreamChanged, Time: audit.Time{Time: time.Now()}, Data: audit.JSON(c)}})
	}
}
