package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/services"
)

// lookBound is how long one look at an engine may take; after that its services
// are Unknown.
const lookBound = 5 * time.Second

// eventLag is how long after a container's end its events may come, when the engine
// is asked what it remembers.
const eventLag = time.Second

var errNotYet = errors.New("not looked at yet")

// WatchOptions of a Watcher. The zero value is fine.
type WatchOptions struct {
	Logger *zap.Logger // nil: none
	// Changed is called after the state or the stops of a service have changed. It
	// must not block.
	Changed func()
	Every   time.Duration    // between looks beside the events; default 15s
	Now     func() time.Time // nil: time.Now
}

// Watcher knows how the services of all engines are and why those stopped that do
// not run. It reads only.
//
// Each engine's events are followed, and each container that one is about is looked
// at again; all are listed anew when the stream begins and from time to time. Nothing
// is remembered of containers that are gone.
type Watcher struct {
	o       WatchOptions
	engines []*watched
	world   atomic.Pointer[services.World]

	mu     sync.Mutex                  // guards what follows, and the engines
	before map[string]services.Service // as last published
	cancel context.CancelFunc          // nil: not started, or stopped
	ended  sync.WaitGroup
}

// Watch makes a Watcher of all engines. Nothing is asked before Start, Refresh or Look.
func (e *Engines) Watch(o WatchOptions) *Watcher {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Every <= 0 {
		o.Every = 15 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Watcher{o: o, before: map[string]services.Service{}}
	for _, en := range e.list {
		w.engines = append(w.engines, newWatched(en))
	}
	w.publish()
	return w
}

// Start follows the engines until ctx ends or Stop. It returns at once; until an
// engine has answered its services are Unknown. A second call does nothing.
func (w *Watcher) Start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	for _, en := range w.engines {
		w.ended.Go(func() { w.run(ctx, en) })
	}
}

// Stop ends what Start began and waits for it. What was last seen stays.
func (w *Watcher) Stop() {
	w.mu.Lock()
	cancel := w.cancel
	w.cancel = nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	w.ended.Wait()
}

// World is what was last seen. It never blocks.
func (w *Watcher) World() services.World { return *w.world.Load() }

// Refresh looks at all engines anew, side by side, each for at most 5 seconds. The
// services of one that cannot be looked at, or not within that time or the caller's,
// are Unknown in the World that it gives and in World, and the error says why; what
// was known of their stops and their last state stays. It needs no Start.
func (w *Watcher) Refresh(ctx context.Context) (services.World, error) {
	errs := make([]error, len(w.engines))
	var all sync.WaitGroup
	for i, en := range w.engines {
		all.Go(func() { errs[i] = w.lookAt(ctx, en) })
	}
	all.Wait()
	err := errors.Join(errs...)
	if err == nil {
		return w.World(), nil
	}
	// Where the caller gave up of itself, that says nothing of the engine: for it alone
	// they are unknown.
	unseen := map[*watched]error{}
	for i, en := range w.engines {
		if errs[i] != nil {
			unseen[en] = errs[i]
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return services.NewWorld(w.atLocked(), w.composeLocked(unseen)...), err
}

// Look is one look without Start, for a program that asks once: it lists, inspects
// and asks the engines what they remember of the stops.
func (w *Watcher) Look(ctx context.Context) (services.World, error) { return w.Refresh(ctx) }

// lookAt lists and inspects all containers of one engine, asks for the causes of
// stops that are not known, and publishes what it saw.
func (w *Watcher) lookAt(ctx context.Context, en *watched) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("docker %q: not asked: %w", en.Name, err)
	}
	look, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	select {
	case en.look <- struct{}{}:
		defer func() { <-en.look }()
	case <-look.Done():
		// Somebody else has looked for so long, and files what comes of it.
		return w.unseen(ctx, en, look.Err())
	}
	list, err := en.reader.Project(look, en.Project)
	if err != nil {
		return w.unseen(ctx, en, err)
	}
	w.mu.Lock()
	undecided, stopped := en.undecided(list)
	w.mu.Unlock()
	var remembered []Event
	if len(undecided) > 0 {
		if remembered, err = en.reader.Past(look, en.Project, time.Unix(1, 0), stopped.Add(eventLag)); err != nil {
			w.o.Logger.Warn("why containers stopped is not known: the engine's past events cannot be had", zap.String("docker", en.Name), zap.Error(err))
			undecided = nil // asked again at the next look
		}
	}
	w.mu.Lock()
	if en.lost != nil && !errors.Is(en.lost, errNotYet) {
		w.o.Logger.Info("the engine can be looked at again", zap.String("docker", en.Name))
	}
	en.takeAll(list, w.o.Now())
	en.learn(undecided, newRecord(remembered))
	w.warnOfLoopLocked(en)
	w.mu.Unlock()
	w.publish()
	return nil
}

// unseen makes the error of a look that failed. The engine is lost with it, also
// where the time of the caller was over: what was seen before must not pass for what
// is. Only a caller who gave up of itself says nothing of the engine.
func (w *Watcher) unseen(ctx context.Context, en *watched, err error) error {
	if !errors.Is(ctx.Err(), context.Canceled) {
		w.lose(en, err)
	}
	return fmt.Errorf("docker %q: %w", en.Name, err)
}

// lookAtOne looks at one container again. One that cannot be looked at is unknown
// until the next look; the error says why.
func (w *Watcher) lookAtOne(ctx context.Context, en *watched, id string) error {
	select {
	case en.look <- struct{}{}:
		defer func() { <-en.look }()
	case <-ctx.Done():
		return ctx.Err()
	}
	look, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	c, err := en.reader.Inspect(look, id)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	gone := actions.CodeOf(err) == actions.CodeTargetNotFound
	w.mu.Lock()
	switch {
	case err == nil:
		en.take(c, w.o.Now())
		en.at = w.o.Now()
	case gone:
		en.forget(id)
	default:
		if c, ok := en.seen[id]; ok {
			c.Error = err.Error()
			en.blindTo(c, w.o.Now())
		}
	}
	w.mu.Unlock()
	w.publish()
	if gone {
		return nil
	}
	return err
}

// lose says that an engine cannot be looked at.
func (w *Watcher) lose(en *watched, err error) {
	w.mu.Lock()
	if en.lost == nil || errors.Is(en.lost, errNotYet) {
		w.o.Logger.Warn("the engine cannot be looked at: its services are unknown", zap.String("docker", en.Name), zap.Error(err))
	}
	en.lost, en.at = err, w.o.Now()
	w.mu.Unlock()
	w.publish()
}
