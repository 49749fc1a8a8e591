package docker

import (
	"slices"
	"sync"
	"time"
)

// restarts is how often the restart policies of an engine's containers have started
// them anew of late. Whoever looks at a container tells it, checks as well as the
// Watcher: each alone may look too seldom. The zero value is ready; it is safe for
// concurrent use.
type restarts struct {
	mu   sync.Mutex
	runs map[string]policyRuns
}

// policyRuns of one container, as last seen.
type policyRuns struct {
	started time.Time // its newest start
	count   int       // restarts by policy since somebody started it
	rises   []time.Time
}

// note files what was seen of a container. What was seen before something that is
// filed already changes nothing. A start by somebody is a new beginning.
func (r *restarts) note(c Container, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, known := r.runs[c.ID]
	is := policyRuns{started: c.StartedAt, count: c.RestartCount}
	switch {
	case !known:
	case c.StartedAt.Before(was.started), c.StartedAt.Equal(was.started) && c.RestartCount < was.count:
		return
	case c.RestartCount >= was.count:
		is.rises = slices.DeleteFunc(slices.Clone(was.rises), func(t time.Time) bool { return now.Sub(t) > loopTime })
		for range min(c.RestartCount-was.count, loopStarts) {
			is.rises = append(is.rises, now)
		}
		is.rises = is.rises[max(0, len(is.rises)-loopStarts):]
	}
	if r.runs == nil {
		r.runs = map[string]policyRuns{}
	}
	r.runs[c.ID] = is
}

// looping says whether a container was in a crash loop at a time.
func (r *restarts) looping(id string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rises := r.runs[id].rises
	return len(rises) >= loopStarts && at.Sub(rises[len(rises)-loopStarts]) <= loopTime
}

// forget a container that is gone.
func (r *restarts) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.runs, id)
}

// keep forgets all containers but these.
func (r *restarts) keep(here map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.runs {
		if !here[id] {
			delete(r.runs, id)
		}
	}
}
