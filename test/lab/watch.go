package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// Event is one thing that happened to a container of the lab.
type Event struct {
	Time      time.Time
	Container string // id
	Service   string // Compose's label
	Action    string // start, die, kill, stop, restart, oom, destroy, "health_status: healthy", …
	// Attributes are the engine's: labels, exitCode of a die, signal of a kill.
	Attributes map[string]string
}

// watcher keeps the events of a run from its beginning, in the engine's order.
type watcher struct {
	docker *client.Client
	run    string
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	events  []Event       // guarded by mu
	err     error         // guarded by mu; why the stream ended, after which waits fail
	changed chan struct{} // guarded by mu; closed at each event and at the end
}

// startWatcher returns once the engine has accepted the subscription. The
// engine's own clock is the start, so that nothing is missed meanwhile.
func startWatcher(ctx context.Context, docker *client.Client, run string) (*watcher, error) {
	info, err := docker.Info(ctx)
	if err != nil {
		return nil, err
	}
	stream, cancel := context.WithCancel(context.Background())
	w := &watcher{docker: docker, run: run, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	messages, errs := docker.Events(stream, events.ListOptions{
		Since:   info.SystemTime,
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("label", LabelRun+"="+run)),
	})
	go w.loop(messages, errs)
	return w, nil
}

func (w *watcher) loop(messages <-chan events.Message, errs <-chan error) {
	defer close(w.done)
	for {
		select {
		case m := <-messages:
			if !strings.HasPrefix(string(m.Action), "exec_") { // health checks: noise
				w.add(m)
			}
		case err := <-errs:
			w.mu.Lock()
			w.err = fmt.Errorf("events of the engine ended: %w", err)
			close(w.changed)
			w.changed = make(chan struct{})
			w.mu.Unlock()
			return
		}
	}
}

func (w *watcher) add(m events.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, Event{
		Time: time.Unix(0, m.TimeNano), Container: m.Actor.ID, Service: m.Actor.Attributes[LabelService],
		Action: string(m.Action), Attributes: m.Actor.Attributes,
	})
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watcher) stop() {
	w.cancel()
	<-w.done
}

// wait returns once ok says so of all events so far; it is asked at once and
// after each further event.
func (w *watcher) wait(ctx context.Context, what string, ok func([]Event) (bool, error)) error {
	for {
		w.mu.Lock()
		seen, changed, ended := slices.Clip(w.events), w.changed, w.err
		w.mu.Unlock()
		done, err := ok(seen)
		if err != nil || done {
			return err
		}
		if ended != nil {
			return fmt.Errorf("waiting for %s: %w", what, ended)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// sync returns once every event is known that happened before the call: it
// makes one of its own, which the engine delivers after them.
func (w *watcher) sync(ctx context.Context, image string) error {
	who, err := self()
	if err != nil {
		return err
	}
	created, err := w.docker.ContainerCreate(ctx,
		&container.Config{Image: image, Cmd: []string{"-"}, Labels: map[string]string{LabelRun: w.run, LabelOwner: who.String()}}, nil, nil, nil, "")
	if err != nil {
		return err
	}
	err = w.wait(ctx, "the engine's events", func(seen []Event) (bool, error) {
		for _, e := range seen {
			if e.Container == created.ID {
				return true, nil
			}
		}
		return false, nil
	})
	if e := removeContainer(context.WithoutCancel(ctx), w.docker, created.ID); err == nil {
		err = e
	}
	return err
}

// Events answers what happened to the service's containers since the lab's
// start, in the engine's order and complete up to this call.
func (l *Lab) Events(ctx context.Context, service string) ([]Event, error) {
	tag, err := HostImage(ctx, l.Docker)
	if err != nil {
		return nil, err
	}
	if err := l.watch.sync(ctx, tag); err != nil {
		return nil, err
	}
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	var own []Event
	for _, e := range l.watch.events {
		if e.Service == service {
			own = append(own, e)
		}
	}
	return own, nil
}

// Starts counts the starts of the service's containers, their first included.
func (l *Lab) Starts(ctx context.Context, service string) (int, error) {
	own, err := l.Events(ctx, service)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range own {
		if e.Action == string(events.ActionStart) {
			n++
		}
	}
	return n, nil
}

// Restarts counts the starts of the service's containers but for the first of
// each container: whoever or whatever restarted it.
func (l *Lab) Restarts(ctx context.Context, service string) (int, error) {
	own, err := l.Events(ctx, service)
	if err != nil {
		return 0, err
	}
	starts, first := 0, map[string]bool{}
	for _, e := range own {
		if e.Action == string(events.ActionStart) {
			starts++
			first[e.Container] = true
		}
	}
	return starts - len(first), nil
}

// WaitEvent waits until the service had at least n events of that action since
// the lab's start.
func (l *Lab) WaitEvent(ctx context.Context, service, action string, n int) error {
	return l.watch.wait(ctx, fmt.Sprintf("%d × %s of %s", n, action, service), func(seen []Event) (bool, error) {
		count := 0
		for _, e := range seen {
			if e.Service == service && e.Action == action {
				count++
			}
		}
		return count >= n, nil
	})
}
