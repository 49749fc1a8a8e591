package docker

import (
	"maps"
	"time"

	"github.com/stellarescrow/remediator/pkg/services"
)

// shutdown is how soon after a death an engine that goes away has killed the
// container itself: nobody wished it.
const shutdown = time.Minute

// watched is what a Watcher knows of one engine. All but look is guarded by the
// Watcher's mutex.
type watched struct {
	*engine
	look chan struct{} // held by who looks at the engine: what is seen is filed in the order in which it was seen

	lost   error // why it cannot be looked at
	at     time.Time
	saw    time.Time                // when all of it was last seen; zero: never
	seen   map[string]Container     // by id, as last seen
	blind  map[string]blindness     // those that cannot be looked at, by id
	known  map[string]services.Stop // causes that were found out, by container
	past   record                   // what the stream told since it last had a gap
	last   time.Time                // newest event of the stream, by the engine's clock
	broke  time.Time                // when the stream last ended
	warned bool                     // of a circle
}

// blindness is why one container cannot be looked at, and since when.
type blindness struct {
	why   string
	since time.Time
}

func newWatched(en *engine) *watched {
	return &watched{
		engine: en, look: make(chan struct{}, 1), lost: errNotYet,
		seen: map[string]Container{}, blind: map[string]blindness{}, known: map[string]services.Stop{}, past: newRecord(nil),
	}
}

// hear files an event of the stream.
func (en *watched) hear(e Event) {
	en.last = later(e.Time, en.last)
	en.past.add(e)
	if c, ok := en.seen[e.ID]; ok && stands(c) {
		en.judge(c, en.past)
	}
}

// take files a container as it was just seen. One without a status could not be
// looked at: what was seen of it before stays.
func (en *watched) take(c Container, now time.Time) {
	if c.Status == "" {
		en.blindTo(c, now)
		return
	}
	delete(en.blind, c.ID)
	en.restarts.note(c, now)
	en.seen[c.ID] = c
	if stands(c) {
		en.judge(c, en.past)
	} else {
		delete(en.known, c.ID)
	}
}

// blindTo files that a container cannot be looked at.
func (en *watched) blindTo(c Container, now time.Time) {
	if was, ok := en.blind[c.ID]; ok {
		now = was.since
	}
	en.blind[c.ID] = blindness{why: c.Error, since: now}
	if _, ok := en.seen[c.ID]; !ok {
		en.seen[c.ID] = c
	}
}

// takeAll files a whole list: what is not on it is gone.
func (en *watched) takeAll(list []Container, now time.Time) {
	here := map[string]bool{}
	for _, c := range list {
		here[c.ID] = true
		en.take(c, now)
	}
	for id := range en.seen {
		if !here[id] {
			en.forget(id)
		}
	}
	en.restarts.keep(here)
	// A run that nobody has seen may be of a container that is only just made.
	maps.DeleteFunc(en.past.runs, func(id string, run []Event) bool {
		return !here[id] && en.last.Sub(run[len(run)-1].Time) > loopTime
	})
	en.lost, en.at, en.saw = nil, now, now
}

func (en *watched) forget(id string) {
	delete(en.seen, id)
	delete(en.blind, id)
	delete(en.known, id)
	en.restarts.forget(id)
	delete(en.past.runs, id)
}

// judge files the cause of a stop, if the record has its death.
func (en *watched) judge(c Container, r record) {
	if s, found := r.why(c); found {
		en.known[c.ID] = s
	}
}

// undecided are the containers of a list whose stop nothing is known of yet, and
// when the last of them stopped.
func (en *watched) undecided(list []Container) (out []Container, last time.Time) {
	for _, c := range list {
		if !stands(c) || c.Status == statusCreated {
			continue
		}
		if _, found := en.past.why(c); found {
			continue
		}
		if s, ok := en.known[c.ID]; ok && s.At.Equal(c.FinishedAt) {
			continue
		}
		out, last = append(out, c), later(last, c.FinishedAt)
	}
	return out, last
}

// learn files what the engine remembers of stops. What it does not remember is
// unknown for good, unless the stream tells after all.
func (en *watched) learn(list []Container, r record) {
	for _, c := range list {
		s, _ := r.why(c)
		en.known[c.ID] = s
	}
}

// gap forgets what the stream told: events were missed, as when the engine was
// started anew. What died by a kill right before it went away it killed itself;
// whether it remembers otherwise is asked at the next look.
func (en *watched) gap(from time.Time) {
	en.past = newRecord(nil)
	en.past.from = from
	maps.DeleteFunc(en.known, func(_ string, s services.Stop) bool {
		return s.Cause == services.ByKill && !en.broke.IsZero() && s.At.After(en.broke.Add(-shutdown))
	})
}

// stops are the containers of a list, as last seen, that do not run. Of one that
// cannot be looked at now (unseen: of none) the events may tell that it stopped since.
// What has only just been created has not stopped.
func (en *watched) stops(list []Container, unseen bool, now time.Time) []services.Stop {
	var out []services.Stop
	if unseen {
		now = en.saw
	}
	for _, c := range list {
		_, blind := en.blind[c.ID]
		if runs(c.Status) && (blind || unseen) {
			c = en.heardOf(c)
		}
		if stands(c) && !awaited(c, en.when(c, now)) {
			out = append(out, en.stop(c))
		}
	}
	return out
}

// heardOf is a container that ran when it was last seen, and of which the events told
// since: a death without a start behind it.
func (en *watched) heardOf(c Container) Container {
	for _, e := range en.past.runs[c.ID] {
		if e.Action == "die" && e.Time.After(c.StartedAt) {
			c.Status, c.FinishedAt = statusExited, e.Time
			en.judge(c, en.past)
		}
	}
	return c
}

// stop of a container that does not run.
func (en *watched) stop(c Container) services.Stop {
	if s, ok := en.known[c.ID]; ok && s.At.Equal(c.FinishedAt) {
		return s
	}
	return stopOf(c)
}
