package engine

import (
	"slices"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// about files open episodes under the targets that some policy would handle for
// them, oldest first: what the dependency guard asks. Only the loop uses it.
type about struct {
	byTarget  map[string][]string // episode ids
	byEpisode map[string][]string // targets
}

func newAbout() *about {
	return &about{byTarget: map[string][]string{}, byEpisode: map[string][]string{}}
}

// file puts an episode under its targets; without any it is taken out.
func (a *about) file(episode string, targets []string) {
	for _, t := range a.byEpisode[episode] {
		if a.byTarget[t] = slices.DeleteFunc(a.byTarget[t], func(e string) bool { return e == episode }); len(a.byTarget[t]) == 0 {
			delete(a.byTarget, t)
		}
	}
	delete(a.byEpisode, episode)
	if len(targets) == 0 {
		return
	}
	a.byEpisode[episode] = targets
	for _, t := range targets {
		a.byTarget[t] = append(a.byTarget[t], episode)
	}
}

// others gives, for each target, the oldest episode about it other than one. One is
// enough to refuse, and there may be thousands.
func (a *about) others(l *ledger.Ledger, except string) map[string][]ledger.Episode {
	out := make(map[string][]ledger.Episode, len(a.byTarget))
	for t, list := range a.byTarget {
		for _, id := range list {
			if id == except {
				continue
			}
			if ep, ok := l.Episode(id); ok {
				out[t] = []ledger.Episode{ep}
			}
			break
		}
	}
	return out
}

// refile notes what an episode is about. Targets of a step that chooses among many
// do not count: an alert on the host's CPU is not about each of its services.
func (e *Engine) refile(ep ledger.Episode) {
	var targets []string
	if ep.Open && ep.Origin != ledger.OriginRun {
		snap := e.snap.Load()
		for _, p := range snap.Policies.Match(ep.Alert.Labels, policy.OnFiring) {
			rb := snap.Runbooks[p.Name]
			for _, st := range rb.Steps {
				if !st.changes() {
					continue
				}
				if t, err := st.Run.Targets(scope(rb, ep, "", e.now())); err == nil && t.Exact {
					targets = append(targets, t.Names...)
				}
			}
		}
	}
	e.about.file(ep.ID, unique(targets))
}

// refileAll files every open episode anew: at a start, and under new policies.
func (e *Engine) refileAll() {
	e.about = newAbout()
	for _, ep := range e.ledger.Episodes(true) {
		e.refile(ep)
	}
}
