package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
)

var (
	errStreamEnded   = errors.New("the events stream ended")
	errNotSubscribed = errors.New("the engine did not take the subscription to its events in time")
)

// run follows one engine until ctx ends.
func (w *Watcher) run(ctx context.Context, en *watched) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 250*time.Millisecond, 5*time.Second
	for first := true; ctx.Err() == nil; first = false {
		stood, err := w.follow(ctx, en, first)
		if ctx.Err() != nil {
			return
		}
		w.o.Logger.Debug("events of the engine are asked for again", zap.String("docker", en.Name), zap.Error(err))
		if stood {
			b.Reset()
			// The stream may have been cut, or the engine be gone: what was seen last
			// must not stand for longer than it takes to find out.
			_ = w.lookAt(ctx, en) // files and logs what it finds
		}
		select {
		case <-ctx.Done():
		case <-time.After(b.NextBackOff()):
		}
	}
}

// follow subscribes to the events, looks at everything, and keeps up to date until
// the stream ends. stood says whether the subscription was taken.
//
// The first subscription asks for all that the engine remembers, later ones from
// the last event on, so that nothing is lost between two; see resume.
func (w *Watcher) follow(ctx context.Context, en *watched, first bool) (stood bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, failed, err := w.subscribe(ctx, cancel, en)
	if err != nil {
		return false, err
	}
	if err := w.resume(ctx, en, first); err != nil {
		return false, err
	}
	if err := w.lookAt(ctx, en); err != nil {
		return false, err
	}
	tick := time.NewTicker(w.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case err := <-failed:
			w.broken(en)
			return true, errors.Join(errStreamEnded, err)
		case <-tick.C:
			err = w.lookAt(ctx, en)
		case e := <-events:
			if err = w.heard(ctx, en, e); err != nil {
				err = w.lookAt(ctx, en) // is it the container, or the engine?
			}
		}
		if err != nil { // then the stream is not to be trusted either
			w.broken(en)
			return true, err
		}
	}
}

func (w *Watcher) broken(en *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	en.broke = w.o.Now()
}

// subscribe asks for the events; cancel ends the request. An engine that does not
// take it in time is lost.
func (w *Watcher) subscribe(ctx context.Context, cancel func(), en *watched) (<-chan Event, <-chan error, error) {
	w.mu.Lock()
	since := later(en.last, time.Unix(1, 0))
	w.mu.Unlock()
	late := make(chan struct{})
	inTime := time.AfterFunc(lookBound, func() {
		close(late)
		cancel()
	})
	events, failed := en.reader.Events(ctx, en.Project, "", since)
	inTime.Stop()
	var err error
	select {
	case <-late:
		err = errNotSubscribed
	case err = <-failed:
		if ctx.Err() != nil {
			return nil, nil, ctx.Err() // stopped, which says nothing of the engine
		}
	default:
		return events, failed, nil
	}
	w.lose(en, err)
	return nil, nil, err
}

// resume finds out whether a new stream joins the one before it without a gap: it
// does when the engine still remembers the last event of that one. An engine that
// cannot be asked proves nothing, and is lost.
func (w *Watcher) resume(ctx context.Context, en *watched, first bool) error {
	w.mu.Lock()
	last := en.last
	w.mu.Unlock()
	if !first && !last.IsZero() {
		ask, cancel := context.WithTimeout(ctx, lookBound)
		defer cancel()
		found, err := en.reader.Past(ask, en.Project, last, last)
		switch code := actions.CodeOf(err); {
		case ctx.Err() != nil:
			return ctx.Err() // stopped, which says nothing of the engine
		case err == nil && len(found) > 0:
			return nil
		case err != nil && (code == actions.CodeUnreachable || code == actions.CodeTimeout):
			w.lose(en, err)
			return err
		}
		w.o.Logger.Info("events of the engine were missed: it was started anew, or too many came meanwhile", zap.String("docker", en.Name), zap.Error(err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	en.gap(w.o.Now())
	return nil
}

// heard files an event and looks at its container where the event can have changed
// what is known of it.
func (w *Watcher) heard(ctx context.Context, en *watched, e Event) error {
	if e.OneOff || e.Service == "" {
		return nil
	}
	w.mu.Lock()
	en.hear(e)
	if e.Action == "destroy" {
		en.forget(e.ID)
	}
	w.mu.Unlock()
	switch {
	case worthALook(e.Action):
		return w.lookAtOne(ctx, en, e.ID)
	case e.Action == "destroy":
		w.publish()
	}
	return nil
}

// worthALook says whether an event can change what a look at its container tells.
// Health checks themselves are a stream of exec events.
func worthALook(action string) bool {
	switch action {
	case "create", "start", "die", "restart", "stop", "pause", "unpause", "oom", "update", "rename":
		return true
	}
	return strings.HasPrefix(action, "health_status")
}
