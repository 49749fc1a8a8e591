package ledger

import (
	"cmp"
	"slices"
	"time"
)

// Streak is how a policy has done lately, live remediations with a result only
// (design §4, breaker).
type Streak struct {
	Failures int       // in a row, up to the newest result: failed, interrupted, ineffective
	Last     time.Time // of the newest failure: when it closed, or was found ineffective
	// Pending is the newest remediation that ended well after Last and whose effect
	// on the alert is not known yet, "" for none.
	Pending string
}

// result is what a remediation means for the streak of its policy.
type result int

const (
	neutral result = iota // it neither ends a streak nor lengthens it
	pending               // it ended well, and whether it helped is not known yet
	success
	failure
)

// result of a closed remediation. Escalated, partial and no_action ones do not
// count (design §5), whatever became of the alert.
func (r *Remediation) result() result {
	if r.State != Closed || !r.live() || r.Shutdown {
		return neutral
	}
	switch r.Outcome {
	case "failed", "interrupted":
		if r.HadEffect() {
			return failure
		}
		return neutral // nothing was changed: Docker was away while planning, for instance
	case "succeeded", "unverified":
		return r.helped()
	}
	return neutral
}

// helped is the result of a remediation that ended well.
func (r *Remediation) helped() result {
	switch {
	case r.Effect == "ineffective":
		return failure
	case r.Effect != "":
		return success
	case r.HadEffect():
		return pending
	}
	return neutral
}

// live says whether it was more than a rehearsal.
func (r *Remediation) live() bool { return r.Mode != DryRun && r.Outcome != outcomePlanned }

// streak of one policy, kept up to date by each record, so that it outlives the
// remediations it counts. What came after what is told by the order of records:
// times become equal where a clock was set back.
type streak struct {
	failures int
	last     time.Time
	failed   int            // order of the record that brought the newest failure
	pending  []*Remediation // opened after it, in that order
}

type streaks map[string]*streak // by policy

// count takes in what is now known of a remediation. One counts once: its first
// result stands.
func (ss streaks) count(r *Remediation, order int, now time.Time) {
	if r.counted {
		return
	}
	s := ss[r.Policy]
	if s == nil {
		s = &streak{}
		ss[r.Policy] = s
	}
	s.pending = slices.DeleteFunc(s.pending, func(p *Remediation) bool { return p == r })
	switch r.result() {
	case neutral:
	case pending:
		s.wait(r)
	case success:
		r.counted, s.failures = true, 0
	case failure:
		r.counted = true
		s.failures, s.last, s.failed, s.pending = s.failures+1, now, order, nil
	}
}

// wait files a remediation whose effect is not known yet.
func (s *streak) wait(r *Remediation) {
	if r.order <= s.failed {
		return
	}
	i, _ := slices.BinarySearchFunc(s.pending, r, func(a, b *Remediation) int { return cmp.Compare(a.order, b.order) })
	s.pending = slices.Insert(s.pending, i, r)
}

func (ss streaks) clamp(c clamp) {
	for _, s := range ss {
		c.times(&s.last)
	}
}

// prune drops remediations whose effect will never be known.
func (ss streaks) prune(gone func(*Remediation) bool) {
	for _, s := range ss {
		s.pending = slices.DeleteFunc(s.pending, gone)
	}
}

// Streak of a policy.
func (v View) Streak(policy string) Streak {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	s := v.l.streaks[policy]
	if s == nil {
		return Streak{}
	}
	out := Streak{Failures: s.failures, Last: s.last}
	if n := len(s.pending); n > 0 {
		out.Pending = s.pending[n-1].ID
	}
	return out
}
