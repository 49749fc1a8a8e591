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
			if was, ok := w.before[s.Target]; ok && was.State == s.State {
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
	graph, oneShots := en.graph(en.seen), map[string]bool{}
	for _, on := range graph {
		for name, condition := range on {
			byName[name] = append(byName[name], []Container{}...)
			oneShots[name] = oneShots[name] || condition == services.ConditionCompleted
		}
	}
	var out []services.Service
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := services.Service{Target: en.target(name), Name: name, Declared: slices.Contains(en.Services, name), DependsOn: en.dependencies(graph[name])}
		if unseen != nil {
			s.State, s.Text = services.Unknown, "docker "+en.Name+" cannot be looked at: "+unseen.Error()
		} else {
			en.judgeService(&s, byName[name], oneShots[name], now)
		}
		out = append(out, s)
	}
	return out
}

// judgeService fills in the state of a service and its stops.
func (en *watched) judgeService(s *services.Service, list []Container, oneShot bool, now time.Time) {
	slices.SortFunc(list, func(a, b Container) int {
		if n := number(a) - number(b); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	s.State, s.Text = worst(list, func(c Container) services.State {
		rises := en.rises[c.ID]
		looping := len(rises) >= loopStarts && now.Sub(rises[len(rises)-loopStarts]) <= loopTime
		return stateOf(c, looping, oneShot)
	})
	if len(list) == 0 {
		s.Text = s.Name + " has no container"
	}
	for _, c := range list {
		if stands(c) {
			s.Stops = append(s.Stops, en.stop(c))
		}
	}
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
