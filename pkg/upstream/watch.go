package upstream

import (
	"context"
	"sync"
	"time"
)

// Watched is one upstream to be watched: what is configured, what reads its page,
// and its last recorded Change (nil: none).
type Watched struct {
	Config Config
	Source Source
	Seed   *Change
}

// Hooks tell what a Watch does, for log and metrics. Each may be nil; they are
// called from several goroutines and must not block.
type Hooks struct {
	// Polled after each look at a page; err says why it gave no good answer.
	Polled func(name string, err error, took time.Duration)
	// Undelivered after each time that a Change could not be told; it is told again
	// after wait.
	Undelivered func(c Change, err error, wait time.Duration)
}

// Status of one upstream, for people.
type Status struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Change that was last told, or the seed; its State is "" as long as nothing is known.
	Change    Change    `json:"change"`
	LastGood  time.Time `json:"last_good,omitzero"`   // zero: no good answer yet
	LastError string    `json:"last_error,omitempty"` // of the newest look; "": it was good
	NextPoll  time.Time `json:"next_poll,omitzero"`
	// Untold: the page says something that could not be told yet (the store is away).
	Untold bool `json:"untold,omitempty"`
}

// Watch looks at the pages of upstreams, each in a goroutine of its own, and tells
// of every Change. It is used once: New, Adopt, Start, Stop; or New, Once.
type Watch struct {
	watchers []*watcher

	mu      sync.Mutex
	cancel  context.CancelFunc // guarded by mu; nil: not started
	stopped bool               // guarded by mu
}

// NewWatch of upstreams, which looks at nothing yet. onChange is told the Changes of
// each upstream in order, one at a time, and is called again until it answers no
// error: a Change that is not durable was not told. Changes of different upstreams
// are told concurrently. onChange must not call the Watch's Refresh or Stop, which
// wait for it.
func NewWatch(list []Watched, onChange func(context.Context, Change) error, hooks Hooks) *Watch {
	w := &Watch{}
	for _, u := range list {
		w.watchers = append(w.watchers, newWatcher(u, onChange, hooks))
	}
	return w
}

// Adopt takes over from the Watch before a reload, which it stops. An upstream that
// is asked for the same keeps its state, its last good answer and its Source (with
// what that knows of the page), so that a reload makes nothing unknown; one whose
// scope has changed begins anew from its last Change. To be called before Start, when
// nothing of the reload can fail any more.
func (w *Watch) Adopt(old *Watch) {
	if old == nil {
		return
	}
	old.Stop()
	for _, u := range w.watchers {
		if o := old.find(u.cfg.Name); o != nil {
			u.adopt(o)
		}
	}
}

// Start watching until ctx ends or Stop. A second Start, or one after Stop, does nothing.
func (w *Watch) Start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil || w.stopped {
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	for _, u := range w.watchers {
		go u.run(ctx)
	}
}

// Stop watching; it waits until nothing runs any more, and may be called at any
// time, also twice. A Change that could not be told is kept for Adopt; after a
// restart the page tells it again.
func (w *Watch) Stop() {
	w.mu.Lock()
	cancel := w.cancel
	w.stopped = true
	w.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	for _, u := range w.watchers {
		<-u.done
	}
}

// Refresh asks the pages of the named upstreams whose last good answer is older than
// maxAge, and returns once what they answered has been told, or ctx ends. It joins a
// look that is under way. A page that does not answer is no error: its state stands.
func (w *Watch) Refresh(ctx context.Context, maxAge time.Duration, names ...string) {
	w.mu.Lock()
	running := w.cancel != nil && !w.stopped
	w.mu.Unlock()
	if !running {
		return
	}
	var wg sync.WaitGroup
	for _, name := range names {
		if u := w.find(name); u != nil {
			wg.Go(func() { u.refresh(ctx, maxAge) })
		}
	}
	wg.Wait()
}

// Once asks every page one time, all at once, and gives the Changes against the
// seeds in the order of the configuration; nothing is told. What is in trouble by
// its seed stays so: one answer without trouble ends none. It is for a Watch that is
// not started.
func (w *Watch) Once(ctx context.Context) []Change {
	found := make([]*Change, len(w.watchers))
	var wg sync.WaitGroup
	for i, u := range w.watchers {
		wg.Go(func() { found[i] = u.once(ctx) })
	}
	wg.Wait()
	var out []Change
	for _, c := range found {
		if c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// LastGood is when the page of an upstream last gave a good answer to this process
// and what it said had been told; zero: not yet.
func (w *Watch) LastGood(name string) time.Time {
	if u := w.find(name); u != nil {
		return u.status().LastGood
	}
	return time.Time{}
}

// Configs of the upstreams, in their order.
func (w *Watch) Configs() []Config {
	out := make([]Config, len(w.watchers))
	for i, u := range w.watchers {
		out[i] = u.cfg
	}
	return out
}

// States of the upstreams, in their order.
func (w *Watch) States() []Status {
	out := make([]Status, len(w.watchers))
	for i, u := range w.watchers {
		out[i] = u.status()
	}
	return out
}

func (w *Watch) find(name string) *watcher {
	for _, u := range w.watchers {
		if u.cfg.Name == name {
			return u
		}
	}
	return nil
}
