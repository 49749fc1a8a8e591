package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// sky is what surrounds the daemon: services with their dependencies, and the status
// page of an upstream. It remembers how things were, for the oracles.
type sky struct {
	mu        sync.Mutex
	services  map[string]services.Service
	past      []moment
	page      upstream.State
	reachable bool
	pages     []pageMoment
	watch     *upstream.Watch
}

type moment struct {
	at       time.Time
	services map[string]services.Service
}

type pageMoment struct {
	at        time.Time
	state     upstream.State
	reachable bool
}

var dependencies = map[string][]services.Dependency{
	"api":     {{Target: "db", Condition: services.ConditionHealthy}},
	"indexer": {{Target: "db", Condition: services.ConditionHealthy}},
}

var serviceNames = []string{"api", "ask", "db", "indexer", "me", "sup", "up", "web"}

func newSky() *sky {
	s := &sky{services: map[string]services.Service{}, page: upstream.Operational, reachable: true}
	for _, n := range serviceNames {
		s.services[n] = services.Service{Target: n, Name: n, Declared: true, State: services.Healthy, DependsOn: dependencies[n]}
	}
	s.remember()
	s.pages = append(s.pages, pageMoment{time.Now(), s.page, true})
	return s
}

func (s *sky) remember() {
	s.past = append(s.past, moment{time.Now(), maps.Clone(s.services)})
}

// set makes a service be in a state, stopped for a cause where there is one.
func (s *sky) set(name string, state services.State, cause services.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.services[name]
	was.State, was.Stops, was.Text = state, nil, string(state)
	if cause != "" {
		stop := services.Stop{Container: "c-" + name, Name: name, Cause: cause, At: time.Now()}
		if cause == services.ByKill {
			stop.Killed = stop.At
		}
		was.Stops = []services.Stop{stop}
	}
	s.services[name] = was
	s.remember()
}

// before is a service as it was just before a time.
func (s *sky) before(t time.Time, name string) services.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.past) {
		if m.at.Before(t) {
			return m.services[name]
		}
	}
	return services.Service{State: services.Healthy}
}

// steady says whether nothing about services changed at that very moment.
func (s *sky) steady(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.past, func(m moment) bool { return m.at.Equal(t) })
}

// badPage says whether the page has reported trouble, reachably, for a while before t.
func (s *sky) badPage(t time.Time) bool {
	const notice = 10 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := false
	for _, m := range s.pages {
		if m.at.Before(t.Add(-notice)) {
			bad = m.state.Bad() && m.reachable
		} else if m.at.Before(t) && (!m.state.Bad() || !m.reachable) {
			bad = false
		}
		if m.at.Equal(t) && !m.state.Bad() { // it ended at this very moment
			bad = false
		}
	}
	return bad
}

func (s *sky) turnPage(state upstream.State, reachable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page, s.reachable = state, reachable
	s.pages = append(s.pages, pageMoment{time.Now(), state, reachable})
}

// World implements WorldSource.
func (s *sky) World() services.World {
	s.mu.Lock()
	defer s.mu.Unlock()
	return services.NewWorld(time.Now(), slices.Collect(maps.Values(s.services))...)
}

// Refresh implements WorldSource.
func (s *sky) Refresh(context.Context) (services.World, error) { return s.World(), nil }

// Fetch implements upstream.Source.
func (s *sky) Fetch(context.Context) (upstream.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reachable {
		return nil, errAway
	}
	var r upstream.Report
	if s.page.Bad() {
		kind := map[upstream.State]string{upstream.Incident: "incident", upstream.Maintenance: "maintenance"}[s.page]
		impact := map[upstream.State]string{upstream.Incident: upstream.ImpactMajor, upstream.Maintenance: upstream.ImpactMaintenance}[s.page]
		r.Events = []upstream.Event{{ID: "i", Kind: kind, Name: "trouble", Status: "identified", Impact: impact}}
	}
	return r, nil
}

var stellar = upstream.Config{
	Name: "stellar", Interval: 30 * time.Second, StaleAfter: 3 * time.Minute,
	ResumeAfter: 10 * time.Minute, MaxSuppression: 6 * time.Hour,
}

// page is a watch as the engine knows it.
type pageWatch struct{ *upstream.Watch }

func (p pageWatch) Upstreams() map[string]policy.Upstream {
	return map[string]policy.Upstream{"stellar": {
		Name: "stellar", StaleAfter: stellar.StaleAfter, ResumeAfter: stellar.ResumeAfter, MaxSuppression: stellar.MaxSuppression,
		LastGood: p.LastGood("stellar"), Untold: p.States()[0].Untold,
	}}
}

// watchFor makes a watch that goes on from what the journal says.
func (s *sky) watchFor(l *ledger.Ledger, tell func(context.Context, upstream.Change) error) {
	var seed *upstream.Change
	if u, ok := l.View(ledger.Live).Upstream("stellar"); ok {
		seed = &u.Change
	}
	s.watch = upstream.NewWatch([]upstream.Watched{{Config: stellar, Source: s, Seed: seed}}, tell, upstream.Hooks{})
}
