package engine

import (
	"fmt"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// storm watches how many new episodes come that some policy matches (design §4,
// storm). It is rebuilt from the ledger at a start. Only the loop uses it.
type storm struct {
	rule  policy.Storm
	times []time.Time // of episodes within the window, oldest first
	until time.Time
	count int // at the newest moment of the storm
}

// add counts one new episode.
func (s *storm) add(t time.Time) {
	if s.rule.Episodes <= 0 {
		return
	}
	s.times = append(s.times, t)
	for len(s.times) > 0 && !s.times[0].After(t.Add(-s.rule.Within)) {
		s.times = s.times[1:]
	}
	if len(s.times) >= s.rule.Episodes {
		s.until, s.count = t.Add(s.rule.Clear), len(s.times)
	}
}

// state is when the storm ends that rages now, with a sentence; zero: none.
func (s *storm) state(now time.Time) (time.Time, string) {
	if s.until.After(now.Add(s.rule.Clear)) { // the clock went back
		s.until = now.Add(s.rule.Clear)
	}
	if !s.until.After(now) {
		return time.Time{}, ""
	}
	return s.until, fmt.Sprintf("%d new alerts that policies match came within %s (the brake is at %d): all but P1 waits until none of that for %s",
		s.count, s.rule.Within, s.rule.Episodes, s.rule.Clear)
}

// rebuildStorm counts what the ledger remembers, for a start or a new rule.
func (e *Engine) rebuildStorm(snap *Snapshot) {
	e.storm = &storm{rule: snap.Storm}
	after := e.now().Add(-snap.Storm.Within - snap.Storm.Clear)
	for _, ep := range e.ledger.Episodes(false) {
		if ep.FirstSeen.After(after) {
			e.countStorm(snap, ep)
		}
	}
}

func (e *Engine) countStorm(snap *Snapshot, ep ledger.Episode) {
	if ep.Origin == ledger.OriginWebhook && len(snap.Policies.Match(ep.Alert.Labels, policy.OnFiring)) > 0 {
		e.storm.add(ep.FirstSeen)
	}
}
