package docker

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/services"
)

// publish makes a World of what is known and tells of changes.
func (w *Watcher) publish() {
	w.mu.Lock()
	list := w.composeLocked(nil)
	world := services.NewWorld(w.atLocked(), list...)
	changed := len(list) != len(w.before)
	after := make(map[string]services.Service, len(list))
	for _, s := range list {
		was, ok := w.before[s.Target]
		changed = changed || !ok || was.State != s.State || !slices.Equal(was.Stops, s.Stops)
		after[s.Target] = s
	}
	w.before = after
	w.world.Store(&world)
	w.mu.Unlock()
	if changed {
		w.o.Changed()
	}
}

// atLocked is when the engine that was looked at longest ago was.
func (w *Watcher) atLocked() time.Time {
	var at time.Time
	for i, en := range w.engines {
		if i == 0 || en.at.Before(at) {
			at = en.at
		}
	}
	return at
}

// composeLocked makes the services of all engines; those of unseen ones are unknown.
func (w *Watcher) composeLocked(unseen map[*watched]error) []services.Service {
	var out []services.Service
	now := w.o.Now()
	for _, en := range w.engines {
		for _, s := range en.services(unseen[en], now) {
			s.Since = now
			if was, ok := w.before[s.Target]; ok && was.Seen() == s.Seen() {
				s.Since = was.Since
			}
			out = append(out, s)
		}
	}
	return out
}

// services of one engine: the declared ones, those found, and those depended on.
func (en *watched) services(unseen error, now time.Time) []services.Service {
	if unseen == nil {
		unseen = en.lost
	}
	byName := map[string][]Container{}
	for _, name := range en.Services {
		byName[name] = nil
	}
	for _, c := range en.seen {
		name := c.Labels[labelService]
		byName[name] = append(byName[name], c)
	}
	graph := en.graph(en.seen)
	ends := endings(graph)
	for _, on := range graph {
		for name := range on {
			byName[name] = append(byName[name], []Container{}...)
		}
	}
	var out []services.Service
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := services.Service{Target: en.target(name), Name: name, Declared: slices.Contains(en.Services, name), DependsOn: en.dependencies(graph[name])}
		list := ordered(byName[name])
		s.Stops = en.stops(list, unseen != nil, now)
		if unseen == nil {
			en.judgeService(&s, list, ends[name], now)
		} else {
			en.recall(&s, list, ends[name])
			s.Text = "docker " + en.Name + " cannot be looked at: " + unseen.Error()
		}
		out = append(out, s)
	}
	return out
}

// judgeService fills in the state of a service by its containers.
func (en *watched) judgeService(s *services.Service, list []Container, end ending, now time.Time) {
	state := func(c Container) services.State { return en.stateOf(c, end, now) }
	faced := slices.Clone(list)
	for i := range faced {
		if b, blind := en.blind[faced[i].ID]; blind {
			faced[i].Status, faced[i].Error = "", b.why
		}
	}
	if s.State, s.Text = worst(faced, state); s.State == services.Unknown {
		s.Last = lastOf(list, state)
	}
	if len(list) == 0 {
		s.Text = s.Name + " has no container"
	}
}

// recall fills in how a service of an engine that cannot be looked at was when it
// last could be. What led to a crash loop then is not forgotten with time.
func (en *watched) recall(s *services.Service, list []Container, end ending) {
	s.State = services.Unknown
	switch {
	case en.saw.IsZero():
	case len(list) == 0:
		s.Last = services.Missing
	default:
		s.Last = lastOf(list, func(c Container) services.State { return en.stateOf(c, end, en.saw) })
	}
}

// lastOf is the state of a service by its containers as they were last seen, those
// that never were left out; empty where nothing was seen.
func lastOf(list []Container, state func(Container) services.State) services.State {
	seen := slices.DeleteFunc(slices.Clone(list), func(c Container) bool { return state(c) == services.Unknown })
	if len(seen) == 0 {
		return ""
	}
	s, _ := worst(seen, state)
	return s
}

// stateOf one container as it is, or was when it could last be looked at.
func (en *watched) stateOf(c Container, end ending, now time.Time) services.State {
	now = en.when(c, now)
	// What nobody waits for and a person killed has not done what it was started for.
	oneShot := end == mustEnd || end == mayEnd && en.stop(c).Cause != services.ByKill
	return stateOf(c, now, en.restarts.looping(c.ID, now), oneShot)
}

// when a container could last be looked at: now, or before it could not be any more.
func (en *watched) when(c Container, now time.Time) time.Time {
	if b, blind := en.blind[c.ID]; blind && b.since.Before(now) {
		return b.since
	}
	return now
}

// ordered sorts containers by their numbers.
func ordered(list []Container) []Container {
	slices.SortFunc(list, func(a, b Container) int {
		if n := number(a) - number(b); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

func (en *watched) dependencies(on map[string]string) []services.Dependency {
	var out []services.Dependency
	for _, name := range slices.Sorted(maps.Keys(on)) {
		out = append(out, services.Dependency{Target: en.target(name), Condition: on[name]})
	}
	return out
}

// warnOfLoopLocked warns once of services that depend on each other in a circle,
// of which none could ever be started first.
func (w *Watcher) warnOfLoopLocked(en *watched) {
	if en.warned {
		return
	}
	if path := loop(en.graph(en.seen)); path != nil {
		en.warned = true
		w.o.Logger.Warn("services depend on each other in a circle: labels and configuration together",
			zap.String("docker", en.Name), zap.String("circle", strings.Join(path, " -> ")))
	}
}
