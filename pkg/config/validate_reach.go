package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// reach are the policies seen so far that keep their alerts from later ones.
type reach struct {
	policies  []reached
	byMatcher map[string][]int // indexes of the policies that have a matcher, rising
}

// reached is a policy and its alternatives, each matcher as it is written.
type reached struct {
	*Policy
	alternatives [][]string
}

func newReached(p *Policy) reached {
	r := reached{Policy: p}
	for _, ms := range p.Alternatives() {
		texts := make([]string, len(ms))
		for i, m := range ms {
			texts[i] = m.String()
		}
		r.alternatives = append(r.alternatives, texts)
	}
	return r
}

// reachable refuses a policy that an earlier one hides: one that has the same
// matchers, or fewer of them, and does not continue.
func (v *validator) reachable(entry *yaml.Node, p *Policy, earlier *reach) {
	r := newReached(p)
	if e := earlier.hider(r); e != nil {
		at, other := value(entry, "name"), strictyaml.Shown(value(e.Node, "name"))
		v.at(at, "put it before the other, make its matchers different, or set continue: true on "+other,
			"policy %s is never reached: %s on line %d matches all of its alerts first", strictyaml.Shown(at), other, e.Node.Line)
	}
	if !p.Continue {
		earlier.add(r)
	}
}

func (e *reach) add(r reached) {
	at := len(e.policies)
	e.policies = append(e.policies, r)
	for _, texts := range r.alternatives {
		for _, text := range texts {
			e.byMatcher[text] = append(e.byMatcher[text], at)
		}
	}
}

// hider is the first earlier policy that matches whatever r does. It shares a
// matcher with r's first alternative, so only those that do are looked at.
func (e *reach) hider(r reached) *Policy {
	first := -1
	for _, text := range r.alternatives[0] {
		for _, i := range e.byMatcher[text] {
			if (first < 0 || i < first) && covers(e.policies[i], r) {
				first = i
				break
			}
		}
	}
	if first < 0 {
		return nil
	}
	return e.policies[first].Policy
}

// covers says whether every alternative of b contains all matchers of some
// alternative of a, so that a matches whatever b does.
func covers(a, b reached) bool {
	if or(a.On, policy.OnFiring) != or(b.On, policy.OnFiring) {
		return false
	}
	for _, bs := range b.alternatives {
		if !slices.ContainsFunc(a.alternatives, func(as []string) bool { return contains(bs, as) }) {
			return false
		}
	}
	return true
}

func contains(all, some []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}
