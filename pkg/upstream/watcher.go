package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	jitter = 0.1 // of the interval, either way
	// maxBackoff is how many intervals lie at most between two looks at a page that
	// gives no good answer.
	maxBackoff = 5
	// afterFailure is how long a look that failed stands for those that ask again:
	// whoever asks before every effect must not hammer a page that is down.
	afterFailure = time.Second
	// A Change that could not be told is told again after firstRetry, then ever less
	// often up to maxRetry.
	firstRetry = 100 * time.Millisecond
	maxRetry   = 10 * time.Second
)

// watcher of one upstream. Its goroutine is run; what it looks at and tells is done
// in order there, so that what is shown has always been told.
type watcher struct {
	cfg      Config
	source   Source
	onChange func(context.Context, Change) error
	hooks    Hooks

	requests chan request
	done     chan struct{} // closed when run has ended

	// Owned by run, once started.
	tracker *Tracker // nil before the first look
	pending *Change  // given by the tracker, and not told yet
	tried   time.Time
	retry   *backoff.ExponentialBackOff
	poll    *time.Timer // for the next look
	looks   chan look
	looking bool            // one is under way
	waiting []chan struct{} // replies to those that wait for it

	mu    sync.Mutex
	shown Status // guarded by mu
}

// request of a Refresh; reply is closed when it is answered.
type request struct {
	maxAge time.Duration
	reply  chan struct{}
}

// look is what came of one look at the page.
type look struct {
	report Report
	err    error
	took   time.Duration
}

func newWatcher(u Watched, onChange func(context.Context, Change) error, hooks Hooks) *watcher {
	if u.Config.Interval <= 0 {
		u.Config.Interval = DefaultInterval
	}
	if u.Config.StaleAfter <= 0 {
		u.Config.StaleAfter = DefaultStaleAfter
	}
	w := &watcher{
		cfg: u.Config, source: u.Source, onChange: onChange, hooks: hooks,
		requests: make(chan request), done: make(chan struct{}),
		shown: Status{Name: u.Config.Name, URL: u.Config.URL},
		retry: failing(u.Config), looks: make(chan look, 1),
	}
	if u.Seed != nil {
		w.shown.Change = *u.Seed
	}
	return w
}

// failing is how long to wait after looks that gave no good answer: ever longer, but
// with at least one more look before the state becomes unknown.
func failing(cfg Config) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	limit := min(maxBackoff*cfg.Interval, cfg.StaleAfter/2)
	b.MaxInterval = time.Duration(float64(limit) / (1 + jitter))
	b.InitialInterval = min(cfg.Interval, b.MaxInterval)
	b.RandomizationFactor = jitter
	b.Reset()
	return b
}

// adopt what another watcher, which has ended, knows of the same page.
func (w *watcher) adopt(o *watcher) {
	shown := o.status()
	if o.tracker == nil || !w.cfg.sameScope(o.cfg) {
		if shown.Change.State != "" {
			w.shown.Change = shown.Change
		}
		return
	}
	w.source, w.tracker, w.pending, w.tried = o.source, o.tracker, o.pending, o.tried
	w.tracker.configure(w.cfg)
	shown.NextPoll = time.Time{}
	w.shown = shown
}

// begin makes the tracker, unless one was adopted.
func (w *watcher) begin(now time.Time) {
	if w.tracker != nil {
		return
	}
	var seed *Change
	if shown := w.status(); shown.Change.State != "" {
		seed = &shown.Change
	}
	w.tracker = NewTracker(w.cfg, now, seed)
}

// run until ctx ends. The page is looked at in a goroutine of its own, one look at a
// time, so that time passes here while the page hangs.
func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	defer w.settle()
	w.begin(time.Now())
	if w.pending != nil && !w.tell(ctx, *w.pending) {
		return
	}
	w.poll = time.NewTimer(0)
	defer w.poll.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-w.poll.C:
			w.start(ctx)
		case r := <-w.requests:
			w.ask(ctx, r)
		case l := <-w.looks:
			w.looking = false
			w.take(ctx, l)
		case <-w.stale():
			if c, changed := w.tracker.Tick(time.Now()); changed {
				w.tell(ctx, c)
			}
		}
	}
}

// start a look, unless one is under way.
func (w *watcher) start(ctx context.Context) {
	if w.looking {
		return
	}
	w.looking = true
	go func() { w.looks <- w.look(ctx) }()
}

// settle waits for a look that is under way. It was cut short: it says nothing about
// the page.
func (w *watcher) settle() {
	if w.looking {
		<-w.looks
		w.looking = false
	}
}

// ask for an answer that is no older than a request wants.
func (w *watcher) ask(ctx context.Context, r request) {
	if w.answered(r.maxAge) {
		close(r.reply)
		return
	}
	w.waiting = append(w.waiting, r.reply)
	w.start(ctx)
}

// stale fires when the state becomes unknown; never while it is.
func (w *watcher) stale() <-chan time.Time {
	at := w.tracker.StaleAt()
	if at.IsZero() {
		return nil
	}
	return time.After(time.Until(at))
}

// next is how long to wait before the next look.
func (w *watcher) next(err error) time.Duration {
	if err != nil {
		return w.retry.NextBackOff()
	}
	w.retry.Reset()
	return time.Duration(float64(w.cfg.Interval) * (1 - jitter + 2*jitter*rand.Float64()))
}

// look at the page once. A format that panics over what a page sent has not read it.
func (w *watcher) look(ctx context.Context) (l look) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			l = look{err: fmt.Errorf("the answer of %s cannot be judged: panic: %v", w.cfg.URL, p)}
		}
		l.took = time.Since(began)
	}()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout())
	defer cancel()
	answer, err := w.source.Fetch(ctx)
	if err != nil {
		return look{err: err}
	}
	return look{report: answer.Judge(time.Now())}
}

// feed the tracker with a look.
func (w *watcher) feed(l look) (Change, bool) {
	w.tried = time.Now()
	if w.hooks.Polled != nil {
		w.hooks.Polled(w.cfg.Name, l.err, l.took)
	}
	if l.err != nil {
		return w.tracker.Failed(w.tried, l.err)
	}
	return w.tracker.Report(w.tried, l.report)
}

// take a look in, tell what has changed, and only then show it: until trouble is
// durable, LastGood must not say that the page was well a moment ago.
func (w *watcher) take(ctx context.Context, l look) {
	if ctx.Err() != nil {
		return // see settle
	}
	next := time.Now().Add(w.next(l.err))
	if c, changed := w.feed(l); changed && !w.tell(ctx, c) {
		return
	}
	w.show(next)
	w.poll.Reset(time.Until(next)) // at once, where telling took long
	for _, reply := range w.waiting {
		close(reply)
	}
	w.waiting = nil
}

// show what the newest look found.
func (w *watcher) show(next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.LastGood, w.shown.LastError, w.shown.NextPoll = w.tracker.LastGood(), w.tracker.LastError(), next
}

// tell of a change until it is durable; false: ctx ended before.
func (w *watcher) tell(ctx context.Context, c Change) bool {
	w.pending = &c
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = firstRetry, maxRetry
	for {
		w.untold(false) // who is told decides at once, by what it was told
		err := w.onChange(ctx, c)
		if err == nil {
			break
		}
		w.untold(true)
		wait := retry.NextBackOff()
		if w.hooks.Undelivered != nil && ctx.Err() == nil {
			w.hooks.Undelivered(c, err, wait)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
	w.pending = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.Change = c
	return true
}

// untold shows whether the page says something that could not be told yet.
func (w *watcher) untold(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.Untold = is
}

// answered says whether the newest look is new enough for who asks.
func (w *watcher) answered(maxAge time.Duration) bool {
	now, good := time.Now(), w.tracker.LastGood()
	if !good.IsZero() && now.Sub(good) <= maxAge {
		return true
	}
	return w.tracker.LastError() != "" && now.Sub(w.tried) < afterFailure
}

// refresh waits for an answer that is no older than maxAge, see Watch.Refresh.
func (w *watcher) refresh(ctx context.Context, maxAge time.Duration) {
	r := request{maxAge: maxAge, reply: make(chan struct{})}
	select {
	case w.requests <- r:
	case <-ctx.Done():
		return
	case <-w.done:
		return
	}
	select {
	case <-r.reply:
	case <-ctx.Done():
	case <-w.done:
	}
}

// once looks at the page without telling anybody.
func (w *watcher) once(ctx context.Context) *Change {
	w.begin(time.Now())
	c, changed := w.feed(w.look(ctx))
	w.show(time.Time{})
	if !changed {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.Change = c
	return &c
}

func (w *watcher) status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown
}
