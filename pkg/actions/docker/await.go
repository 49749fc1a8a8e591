package docker

import (
	"context"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// resubscribe is the pause before the events are asked for again.
const resubscribe = time.Second

// Await follows the events of the service until the answer is as wanted. Events
// are subscribed to before the first look, so that nothing falls between the two;
// a slow look beside them catches what is lost all the same.
func (h *healthy) Await(ctx context.Context, s actions.Scope, wantOK bool) actions.Result {
	name, err := h.resolve(s)
	if err != nil {
		return unanswered(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wake := h.engine.follow(ctx, name)
	tick := time.NewTicker(min(backstop, max(h.stableFor, 100*time.Millisecond)))
	defer tick.Stop()
	last := actions.Result{Unknown: true, Text: "the time was over before Docker answered about " + name}
	for {
		select { // first: the subscription stands, or the time that it may take is over
		case <-ctx.Done():
			return last
		case <-wake:
		case <-tick.C:
		}
		look, done := context.WithTimeout(ctx, lookTime)
		res := h.Check(look, s)
		done()
		if ctx.Err() != nil {
			return last // a look that was cut off says nothing: the one before it stands
		}
		if last = res; !res.Unknown && res.OK == wantOK {
			return last
		}
	}
}

// follow wakes its receiver when the subscription stands and whenever something
// happens that can change a container's health. A stream that ends is asked for
// again, from the last event on.
func (en *engine) follow(ctx context.Context, service string) <-chan struct{} {
	wake := make(chan struct{}, 1)
	ring := func() {
		select {
		case wake <- struct{}{}:
		default: // it is awake already
		}
	}
	go func() {
		var since time.Time
		for ctx.Err() == nil {
			events, failed := en.reader.Events(ctx, en.Project, service, since)
			ring()
			since = pump(ctx, events, failed, since, ring)
			select {
			case <-ctx.Done():
			case <-time.After(resubscribe):
			}
		}
	}()
	return wake
}

// pump reads one stream to its end, whatever ended it, and gives the time of its last event.
func pump(ctx context.Context, events <-chan Event, failed <-chan error, since time.Time, ring func()) time.Time {
	for {
		select {
		case <-ctx.Done():
			return since
		case <-failed: //nolint:errcheck // whatever it was, the stream is asked for again
			return since
		case e := <-events:
			since = e.Time
			if telling(e.Action) {
				ring()
			}
		}
	}
}

// telling says whether an event can change the answer; health checks themselves
// are a stream of exec events.
func telling(action string) bool {
	switch action {
	case "start", "die", "destroy", "pause", "unpause", "oom":
		return true
	}
	return strings.HasPrefix(action, "health_status")
}
