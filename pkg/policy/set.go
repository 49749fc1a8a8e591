package policy

import (
	"regexp/syntax"
	"slices"

	"github.com/prometheus/alertmanager/pkg/labels"
)

const alertName = "alertname"

// Set finds the policies of an alert by its alertname, not by scanning: a policy
// is filed under every alertname its matchers admit, or under none when they do
// not pin it down. Manual policies are filed under none at all.
type Set struct {
	policies []*Policy
	byName   map[string][]int
	open     []int // could match any alertname
}

// NewSet files policies in their order.
func NewSet(policies []*Policy) *Set {
	s := &Set{policies: policies, byName: map[string][]int{}}
	for i, p := range policies {
		if p.Manual { // a person starts it by its name; no alert ever does
			continue
		}
		names, pinned := alertNames(p)
		if !pinned {
			s.open = append(s.open, i)
			continue
		}
		for _, n := range names {
			s.byName[n] = append(s.byName[n], i)
		}
	}
	return s
}

// Policies in the order of the configuration, manual ones too.
func (s *Set) Policies() []*Policy { return s.policies }

// Match gives the policies that an alert's labels and status lead to: the first
// match, and those after a match that says `continue`.
func (s *Set) Match(set map[string]string, status string) []*Policy {
	var out []*Policy
	s.each(set, func(p *Policy) bool {
		if p.On != status {
			return true
		}
		out = append(out, p)
		return p.Continue
	})
	return out
}

// Other gives the first policy that matches the labels but acts on the other
// status: what a resolved alert's `resolved` reason names.
func (s *Set) Other(set map[string]string, status string) *Policy {
	var found *Policy
	s.each(set, func(p *Policy) bool {
		if p.On != status {
			found = p
		}
		return found == nil
	})
	return found
}

// Own says whether an alert was sent by remediator itself; such alerts never match
// a policy (design §5, own alerts).
func Own(set map[string]string) bool { return set["source"] == "remediator" }

// each calls fn for every policy that matches, in order, until it says no.
func (s *Set) each(set map[string]string, fn func(*Policy) bool) {
	if Own(set) {
		return
	}
	named, open := s.byName[set[alertName]], s.open
	for len(named) > 0 || len(open) > 0 {
		var i int
		if len(open) == 0 || len(named) > 0 && named[0] < open[0] {
			i, named = named[0], named[1:]
		} else {
			i, open = open[0], open[1:]
		}
		if p := s.policies[i]; p.Matches(set) && !fn(p) {
			return
		}
	}
}

// alertNames are the alertnames that a policy can match, if its matchers pin them.
func alertNames(p *Policy) (names []string, pinned bool) {
	for _, ms := range p.Matchers {
		some, ok := namesOf(ms)
		if !ok {
			return nil, false
		}
		names = append(names, some...)
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

func namesOf(ms labels.Matchers) ([]string, bool) {
	for _, m := range ms {
		if m.Name != alertName {
			continue
		}
		switch m.Type {
		case labels.MatchEqual:
			return []string{m.Value}, true
		case labels.MatchRegexp:
			if alts, ok := literals(m.Value); ok {
				return alts, true
			}
		case labels.MatchNotEqual, labels.MatchNotRegexp:
		}
	}
	return nil, false
}

// maxLiterals bounds what one expression may expand to.
const maxLiterals = 64

// literals expands an expression that is nothing but alternatives of plain text.
func literals(expr string) ([]string, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	return expand(re.Simplify())
}

func expand(re *syntax.Regexp) ([]string, bool) {
	if re.Flags&syntax.FoldCase != 0 {
		return nil, false
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, true
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpCharClass:
		return expandClass(re.Rune)
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			some, ok := expand(sub)
			if !ok || len(out)+len(some) > maxLiterals {
				return nil, false
			}
			out = append(out, some...)
		}
		return out, true
	case syntax.OpConcat:
		return expandConcat(re.Sub)
	default:
		return nil, false
	}
}

// expandClass expands a small class of characters, given as pairs of bounds.
func expandClass(bounds []rune) ([]string, bool) {
	var out []string
	for i := 0; i+1 < len(bounds); i += 2 {
		if int(bounds[i+1]-bounds[i]) >= maxLiterals {
			return nil, false
		}
		for r := bounds[i]; r <= bounds[i+1]; r++ {
			out = append(out, string(r))
		}
	}
	return out, len(out) > 0 && len(out) <= maxLiterals
}

func expandConcat(subs []*syntax.Regexp) ([]string, bool) {
	out := []string{""}
	for _, sub := range subs {
		some, ok := expand(sub)
		if !ok || len(out)*len(some) > maxLiterals {
			return nil, false
		}
		next := make([]string, 0, len(out)*len(some))
		for _, a := range out {
			for _, b := range some {
				next = append(next, a+b)
			}
		}
		out = next
	}
	return out, true
}
