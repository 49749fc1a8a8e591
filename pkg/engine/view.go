package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// View is what the engine is doing, published by the loop for readers.
type View struct {
	Active  []ActiveRun `json:"active"`
	Waiting []Waiting   `json:"waiting"`
}

// ActiveRun is a remediation that is queued, running or held.
type ActiveRun struct {
	ID       string    `json:"id"`
	Policy   string    `json:"policy"`
	Severity string    `json:"severity,omitempty"`
	Mode     string    `json:"mode"`
	State    string    `json:"state"`
	Targets  []string  `json:"targets,omitempty"`
	Episodes []string  `json:"episodes"`
	Since    time.Time `json:"since"`
	// Asks is what it wants consent to.
	Asks *Asks `json:"asks,omitempty"`
}

// Asks is a request for consent.
type Asks struct {
	PlanHash string    `json:"plan_hash"`
	Step     *int      `json:"step,omitempty"` // nil: the whole plan
	Guards   []string  `json:"guards,omitempty"`
	Expires  time.Time `json:"expires"`
}

// Waiting is a case that is decided again at a time, or on an event.
type Waiting struct {
	Episode string    `json:"episode"`
	Policy  string    `json:"policy"`
	Next    time.Time `json:"next,omitzero"`
}

// View is the newest published view.
func (e *Engine) View() *View { return e.view.Load() }

// Snapshot is the configuration in force.
func (e *Engine) Snapshot() *Snapshot { return e.snap.Load() }

// publish makes a new view. Only the loop calls it.
func (e *Engine) publish() {
	v := &View{Active: []ActiveRun{}, Waiting: []Waiting{}}
	for _, r := range e.active {
		a := ActiveRun{
			ID: r.id, Policy: r.book.Policy.Name, Severity: r.book.Policy.Severity, Mode: string(r.mode),
			State: r.stateName(), Targets: r.targets, Episodes: r.joined(), Since: r.created,
		}
		if req := r.asking.Load(); req != nil {
			a.Asks = &Asks{PlanHash: req.hash, Step: req.step, Guards: req.guards, Expires: req.expires}
		}
		v.Active = append(v.Active, a)
	}
	slices.SortFunc(v.Active, func(a, b ActiveRun) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	const most = 1000
	for _, key := range sortedKeys(e.cases) {
		c := e.cases[key]
		if len(v.Waiting) == most || e.handling(c) != nil {
			continue
		}
		at, _ := e.timers.At(key)
		v.Waiting = append(v.Waiting, Waiting{Episode: c.episode, Policy: c.policy, Next: at})
	}
	e.view.Store(v)
}

// activeList is what guards know of other remediations. Only the loop calls it.
func (e *Engine) activeList(episode string) []policy.Active {
	out := make([]policy.Active, 0, len(e.active))
	for _, key := range sortedKeys(e.active) {
		r := e.active[key]
		a := policy.Active{Remediation: r.id, Policy: r.book.Policy.Name, Mode: r.mode, Targets: r.targets}
		if req := r.asking.Load(); req != nil {
			a.Asking = !r.began
		}
		if e.handled[caseID{episode, a.Policy}.key()] == r { // of its episodes only this one matters
			a.Episodes = []string{episode}
		}
		out = append(out, a)
	}
	return out
}
