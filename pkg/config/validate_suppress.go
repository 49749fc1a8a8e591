package config

import (
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// undeclared is the fix for a word that names no entry of a list.
func undeclared(word string, known []string, example string) string {
	if len(known) == 0 {
		return example
	}
	return strings.Replace(strictyaml.Suggest(word, known), "known here: ", "declare it, or write one of ", 1)
}

// suppressWhile checks a condition; self is the policy that it belongs to, "" for a
// guardrail's.
func (v *validator) suppressWhile(path string, n *yaml.Node, s *SuppressWhile, self string) {
	if n == nil || s == nil {
		return
	}
	const fix = `write {upstream: ...}, {alert: ['alertname="..."']} or {policy_running: ...}`
	up, alert, running := strictyaml.Child(n, "upstream"), strictyaml.Child(n, "alert"), strictyaml.Child(n, "policy_running")
	if up == nil && alert == nil && running == nil {
		v.at(n, fix, "%s is empty and would never hold", path)
		return
	}
	if up != nil && v.sound(strictyaml.Child(v.root, "upstreams")) && !slices.ContainsFunc(v.c.Upstreams, func(u Upstream) bool { return u.Name == s.Upstream }) {
		v.at(up, undeclared(s.Upstream, v.upstreamNames(), "add upstreams: [{name: ..., statuspage: ...}] at the top level"),
			"%s: upstream %s is not declared", path, strictyaml.Shown(up))
	}
	v.suppressAlert(path, alert, s.Alert)
	if running == nil {
		return
	}
	switch names := v.policyNames(); {
	case self != "" && s.PolicyRunning == self:
		v.at(running, "remove it: a policy's remediations of one target never run at the same time anyway", "%s.policy_running names the policy itself", path)
	case !slices.Contains(names, s.PolicyRunning) && v.listed("policies"):
		v.at(running, strictyaml.Suggest(s.PolicyRunning, names), "%s.policy_running: there is no policy %s", path, strictyaml.Shown(running))
	}
}

// suppressAlert refuses matchers that would always hold: an alert is always firing.
func (v *validator) suppressAlert(path string, n *yaml.Node, ms strictyaml.Matchers) {
	switch {
	case n == nil:
	case len(ms) == 0:
		v.at(n, `write which alert: ['alertname="PostgresDown"'], or remove the key`, "%s.alert has no matchers", path)
	case !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }):
		v.at(n, `add a matcher that needs a value, such as 'alertname="..."'`,
			"%s.alert also matches alerts that lack these labels, so nearly every alert", path)
	default:
		if label := contradicted(ms); label != "" {
			v.at(n, contradictedFix, "%s.alert can never match: no value of label %q satisfies all of its matchers, so the guard would be off", path, label)
		}
	}
}

// listed says whether a section is a list, so that what it declares is known.
func (v *validator) listed(section string) bool {
	n := strictyaml.Child(v.root, section)
	return n == nil || n.Kind == yaml.SequenceNode
}

func (v *validator) upstreamNames() []string {
	var out []string
	for _, u := range v.c.Upstreams {
		out = append(out, u.Name)
	}
	return out
}

func (v *validator) policyNames() []string {
	var out []string
	for i := range v.c.Policies {
		if nm := v.c.Policies[i].Name; nm != "" {
			out = append(out, nm)
		}
	}
	return out
}

func (v *validator) guardrails() {
	seen := map[string]int{}
	for i, entry := range items(strictyaml.Child(v.root, "guardrails")) {
		if i >= len(v.c.Guardrails) || !v.sound(entry) {
			continue
		}
		g := &v.c.Guardrails[i]
		path := entryPath("guardrails", i, entry, g.Name)
		v.named("guardrail", entry, g.Name, seen)
		v.covers(path, entry, g)
		if g.SuppressWhile == nil {
			v.at(entry, "add suppress_while: {upstream: ...}, or alert or policy_running", "%s has no suppress_while and would never hold", path)
			continue
		}
		v.suppressWhile(path+".suppress_while", strictyaml.Child(entry, "suppress_while"), g.SuppressWhile, "")
	}
}

// covers checks what a guardrail is about. An empty list is not the same as no list:
// it names nothing, and never means everything.
func (v *validator) covers(path string, entry *yaml.Node, g *Guardrail) {
	if len(g.Services)+len(g.Targets)+len(g.Actions) == 0 && strictyaml.Child(entry, "services") == nil && strictyaml.Child(entry, "targets") == nil {
		v.at(entry, "add services: [...], targets: [...] or actions: [...]; to stop everything, pause remediator", "%s says neither of what nor which actions it guards", path)
	}
	for key, list := range map[string][]string{"services": g.Services, "targets": g.Targets} {
		if n := strictyaml.Child(entry, key); n != nil && len(list) == 0 {
			v.at(n, "list what is guarded, or remove the key for any target", "%s.%s is empty", path, key)
		}
	}
	v.each(path+".services", strictyaml.Child(entry, "services"), g.Services, func(n *yaml.Node, s string) {
		if known := v.services(); v.sound(strictyaml.Child(v.root, "docker")) && !slices.Contains(known, s) {
			v.at(n, declared(s, known), "%s: service %s is not declared in docker", path, strictyaml.Shown(n))
		}
	})
	v.each(path+".targets", strictyaml.Child(entry, "targets"), g.Targets, nil)
	v.each(path+".actions", strictyaml.Child(entry, "actions"), g.Actions, nil)
}

// each checks the words of a list, and refuses one that is listed twice.
func (v *validator) each(path string, list *yaml.Node, words []string, check func(n *yaml.Node, word string)) {
	seen := map[string]bool{}
	for i, n := range items(list) {
		switch w := words[i]; {
		case seen[w]:
			v.at(n, "keep one of them", "%s lists %s twice", path, strictyaml.Shown(n))
		case check != nil:
			check(n, w)
		}
		seen[words[i]] = true
	}
}
