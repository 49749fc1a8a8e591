package config

import (
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

func (v *validator) policies() {
	entries := items(strictyaml.Child(v.root, "policies"))
	seen := map[string]int{}
	earlier := reach{byMatcher: map[string][]int{}}
	for i, entry := range entries {
		if i >= len(v.c.Policies) || entry.Kind != yaml.MappingNode {
			continue
		}
		p := &v.c.Policies[i]
		path := entryPath("policies", i, entry, p.Name)
		if !v.sound(entry) {
			seen[p.Name] = max(seen[p.Name], entry.Line)
			continue
		}
		v.named("policy", entry, p.Name, seen)
		v.oneOf(path+".severity", entry, "severity", p.Severity, "P1", "P2", "P3", "P4")
		v.oneOf(path+".on", entry, "on", p.On, policy.OnFiring, policy.OnResolved)
		v.oneOf(path+".mode", entry, "mode", string(p.Mode), string(policy.DryRun), string(policy.Live))
		v.policyGuards(path+".guards", entry, p)
		if v.manual(path, entry, p) && v.matchers(entry, p) {
			v.reachable(entry, p, &earlier)
		}
		v.escalate(entry, p)
		v.steps(path, entry, p)
	}
}

const matchFix = `add matchers: ['alertname="..."']`

// manual checks a policy that only a person starts, and says whether it is none. It
// matches no alert, so that its matchers may be empty and hide no later policy.
func (v *validator) manual(path string, entry *yaml.Node, p *Policy) bool {
	if !p.Manual {
		return true
	}
	if p.On == policy.OnResolved {
		v.at(value(entry, "on"), "remove it", "%s.on: a policy that a person starts (manual: true) waits for no resolution", path)
	}
	if one, more := strictyaml.Child(entry, "matchers"), strictyaml.Child(entry, "any_matchers"); one != nil && more != nil {
		v.at(more, "keep one; what all alternatives share is repeated in each", "policy %q has both matchers and any_matchers", p.Name)
	}
	return false
}

// matchers refuses what would match every alert, or nearly so.
func (v *validator) matchers(entry *yaml.Node, p *Policy) bool {
	one, more := strictyaml.Child(entry, "matchers"), strictyaml.Child(entry, "any_matchers")
	switch {
	case one != nil && more != nil:
		v.at(more, "keep one; what all alternatives share is repeated in each", "policy %q has both matchers and any_matchers", p.Name)
		return false
	case one == nil && more == nil:
		v.at(entry, matchFix, "policy %q has no matchers and would match every alert", p.Name)
		return false
	case one != nil:
		return v.alternative(one, p.Name, p.Matchers)
	case len(p.AnyMatchers) == 0:
		v.at(more, matchFix, "policy %q has no matchers and would match every alert", p.Name)
		return false
	}
	ok := true
	for i, n := range items(more) {
		ok = v.alternative(n, p.Name, p.AnyMatchers[i]) && ok
	}
	return ok
}

func (v *validator) alternative(n *yaml.Node, policyName string, ms strictyaml.Matchers) bool {
	if len(ms) == 0 {
		v.at(n, `write what it is for: ['alertname="..."']`, "policy %q has an empty list of matchers, which would match every alert", policyName)
		return false
	}
	if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
		v.at(n, `add a matcher that needs a value, such as 'alertname="..."'`,
			"the matchers of policy %q also match alerts that lack these labels, so nearly every alert", policyName)
		return false
	}
	if label := contradicted(ms); label != "" {
		v.at(n, contradictedFix, "the matchers of policy %q can never match: no value of label %q satisfies all of them", policyName, label)
		return false
	}
	return true
}

func (v *validator) escalate(entry *yaml.Node, p *Policy) {
	if !v.sound(strictyaml.Child(v.root, "receivers")) {
		return
	}
	known := make([]string, len(v.c.Receivers))
	for i, r := range v.c.Receivers {
		known[i] = r.Name
	}
	seen := map[string]bool{}
	for i, n := range items(strictyaml.Child(entry, "escalate")) {
		to := p.Escalate[i]
		switch {
		case len(known) == 0:
			v.at(n, "add receivers: [{name: ...}] at the top level", "receiver %s is not declared", strictyaml.Shown(n))
		case !slices.Contains(known, to):
			v.at(n, strings.Replace(strictyaml.Suggest(to, known), "known here: ", "declare it, or write one of ", 1),
				"receiver %s is not declared", strictyaml.Shown(n))
		case seen[to]:
			v.at(n, "keep one of them", "receiver %s is listed twice", strictyaml.Shown(n))
		}
		seen[to] = true
	}
}
