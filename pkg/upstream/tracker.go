package upstream

import "time"

// Tracker turns the answers of one page into states. It has no clock and does no
// I/O: what happened is fed to it with the time, and each feed gives at most one
// Change.
//
//   - Trouble is believed at once.
//   - It is over after two good answers without trouble within StaleAfter, and none
//     with it between them. A look that failed between them says nothing: a page that
//     fails at every other look can get well. A page that flaps stays in trouble.
//   - No good answer for StaleAfter is Unknown. That hides trouble, but does not end
//     it: it keeps its beginning, and still needs two answers to be over.
//   - When trouble was found to be over is kept until there is trouble again: a page
//     that goes away or comes back does not make that sooner or later.
//   - Another impact, or other events in trouble, is a Change in the same state, so
//     that the record says which incident it was.
//
// Until the first answer the state is that of the seed, the last recorded Change.
type Tracker struct {
	name        string
	staleAfter  time.Duration
	apart       time.Duration
	resumeAfter time.Duration

	current  Change    // the last one given, or the seed; State "": nothing is known yet
	started  time.Time // when the watch began
	lastGood time.Time // zero: none yet
	lastErr  string    // of the newest look, "" if it was good

	trouble bool      // reported, and not over yet
	since   time.Time // of the trouble
	events  []Event   // that were last reported in it
	clean   int       // good answers without trouble since cleanAt
	cleanAt time.Time // the first of them
	ended   time.Time // when trouble was last found to be over; zero: in trouble, or not known
}

// NewTracker of an upstream, from now on. seed is the last recorded Change, nil if
// there is none.
func NewTracker(cfg Config, now time.Time, seed *Change) *Tracker {
	t := &Tracker{started: now}
	t.configure(cfg)
	if seed == nil || seed.State == "" {
		return t
	}
	t.current = *seed
	if t.current.Since.After(now) {
		t.current.Since = now // a clock was wrong
	}
	switch {
	case seed.State.Bad():
		t.trouble, t.since, t.events = true, t.current.Since, seed.Events
	case seed.State == Unknown && seed.AfterIncident:
		t.trouble, t.since, t.events = true, began(seed.Events, t.current.Since), seed.Events
	case !seed.Ended.IsZero():
		if t.ended = seed.Ended; t.ended.After(now) {
			t.ended, t.current.Ended = now, now
		}
	case seed.State == Operational && (seed.AfterIncident || seed.Before.Bad()): // recorded without it
		t.ended, t.current.Ended = t.current.Since, t.current.Since
	}
	return t
}

// configure takes over what may change without a new beginning.
func (t *Tracker) configure(cfg Config) {
	t.name, t.staleAfter, t.resumeAfter = cfg.Name, cfg.StaleAfter, cfg.ResumeAfter
	// Two looks that were asked for within a moment are one look.
	t.apart = cfg.Interval / 2
}

// Current is the last Change that was given, or the seed.
func (t *Tracker) Current() Change { return t.current }

// LastGood is when the page last gave a good answer to this tracker; zero: not yet.
func (t *Tracker) LastGood() time.Time { return t.lastGood }

// LastError says why the newest look gave no good answer; "" if it did.
func (t *Tracker) LastError() string { return t.lastErr }

// StaleAt is when the state becomes Unknown if no good answer comes before; zero if
// it is already.
func (t *Tracker) StaleAt() time.Time {
	if t.current.State == Unknown {
		return time.Time{}
	}
	if t.lastGood.IsZero() {
		return t.started.Add(t.staleAfter)
	}
	return t.lastGood.Add(t.staleAfter)
}

// Report takes a good answer in.
func (t *Tracker) Report(now time.Time, r Report) (Change, bool) {
	t.lastGood, t.lastErr = now, ""
	if len(r.Events) > 0 {
		return t.inTrouble(now, r.Events)
	}
	if !t.trouble {
		return t.operational(now)
	}
	if t.clean == 0 || now.Sub(t.cleanAt) >= t.staleAfter {
		t.clean, t.cleanAt = 0, now // the one before is too old to go with this
	}
	t.clean++
	if t.clean < 2 || now.Sub(t.cleanAt) < t.apart {
		return Change{}, false
	}
	t.ended = now
	return t.operational(now)
}

// Failed takes in that there was no good answer, and why.
func (t *Tracker) Failed(now time.Time, err error) (Change, bool) {
	t.lastErr = short(err.Error())
	return t.Tick(now)
}

// Tick takes in that time has passed.
func (t *Tracker) Tick(now time.Time) (Change, bool) {
	at := t.StaleAt()
	if at.IsZero() || now.Before(at) {
		return Change{}, false
	}
	t.clean = 0
	c := Change{State: Unknown, Since: now, AfterIncident: t.trouble}
	if t.trouble {
		c.Events, c.Impact = t.events, worst(t.events)
	}
	c.Text = t.unknownText(now)
	return t.give(c)
}

func (t *Tracker) inTrouble(now time.Time, events []Event) (Change, bool) {
	impact, state := worst(events), stateOf(events)
	events = ordered(events)
	if !t.trouble || t.since.IsZero() {
		t.since = began(events, now)
	}
	t.trouble, t.clean, t.events, t.ended = true, 0, events, time.Time{}
	if t.current.State == state && t.current.Impact == impact && sameEvents(t.current.Events, events) {
		return Change{}, false
	}
	return t.give(Change{
		State: state, Impact: impact, Events: events, Since: t.since,
		Text: troubleText(t.name, events, t.since, now),
	})
}

func (t *Tracker) operational(now time.Time) (Change, bool) {
	began := t.since
	ends := t.trouble
	t.trouble, t.since, t.events, t.clean = false, time.Time{}, nil, 0
	if t.current.State == Operational {
		return Change{}, false
	}
	c := Change{State: Operational, Since: now, AfterIncident: ends}
	switch {
	case ends:
		c.Text = endText(t.name, began, now)
	case !t.ended.IsZero() && now.Before(t.ended.Add(t.resumeAfter)):
		// The page went away shortly after the trouble: what is left of resume_after
		// still counts, and is said.
		c.AfterIncident, c.Since = true, t.ended
		c.Text = "the status page of " + t.name + " answers again and reports no trouble, as since " + clock(t.ended, now)
	default:
		c.Text = "the status page of " + t.name + " reports no trouble"
	}
	return t.give(c)
}

func (t *Tracker) give(c Change) (Change, bool) {
	c.Upstream, c.Before, c.Ended = t.name, t.current.State, t.ended
	t.current = c
	return c, true
}
