package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// guards checks the values of defaults, or of one policy's guards.
func (v *validator) guards(path string, n *yaml.Node, g Guards) {
	if !v.sound(n) {
		return
	}
	if g.Attempts != nil && *g.Attempts < 1 {
		at := value(n, "attempts")
		v.at(at, "write 1 or more; a policy that only looks has mode: dry-run", "%s.attempts must be at least 1, not %s", path, strictyaml.Shown(at))
	}
	v.positive(path+".max_alert_age", value(n, "max_alert_age"), g.MaxAlertAge, "older alerts are not acted upon; write 4h for the default")
	v.positive(path+".deadline", value(n, "deadline"), g.Deadline, "a remediation needs time to work; write 15m for the default")
	v.limits(path+".limits", strictyaml.Child(n, "limits"), g.Limits)
	v.breaker(path+".breaker", strictyaml.Child(n, "breaker"), g.Breaker)
}

func (v *validator) breaker(path string, n *yaml.Node, b Breaker) {
	if n == nil {
		return
	}
	if b.Failures != nil && *b.Failures < 0 {
		v.at(value(n, "failures"), "write 3 for the default, or 0 for no breaker", "%s.failures must not be negative", path)
	}
	v.positive(path+".open_for", value(n, "open_for"), b.OpenFor, "write 1h for the default; failures: 0 is no breaker")
}

// policyGuards checks what a policy may say beyond defaults.
func (v *validator) policyGuards(path string, entry *yaml.Node, p *Policy) {
	n, g := strictyaml.Child(entry, "guards"), p.Guards
	v.guards(path, n, g.Guards)
	v.suppressWhile(path+".suppress_while", strictyaml.Child(n, "suppress_while"), g.SuppressWhile, p.Name)
	v.intervals(path, n, g)
	v.approval(path+".approval", strictyaml.Child(n, "approval"), g.Approval)
	v.minimumAge(path+".for", value(n, "for"), p)
}

// minimumAge refuses a `for` that would mean nothing, or never be over in time.
func (v *validator) minimumAge(path string, at *yaml.Node, p *Policy) {
	if p.Guards.For == nil || *p.Guards.For == 0 {
		return
	}
	if p.Manual {
		v.at(at, "remove it", "%s: a policy that a person starts (manual: true) has no alert that could be too young", path)
	}
	if age := pick(p.Guards.MaxAlertAge, v.c.Defaults.MaxAlertAge); p.On == policy.OnResolved && *p.Guards.For >= age {
		v.at(at, "shorten it, or raise guards.max_alert_age", "%s %s is no shorter than max_alert_age, %s, up to which a resolution is acted upon", path, strictyaml.Shown(at), age)
	}
}

func (v *validator) approval(path string, n *yaml.Node, a *Approval) {
	if a != nil {
		v.positive(path+".timeout", value(n, "timeout"), a.Timeout, "write how long consent is waited for, such as 30m")
	}
}

// positive refuses a duration of 0.
func (v *validator) positive(path string, at *yaml.Node, d *Duration, fix string) {
	if d != nil && *d <= 0 {
		v.at(at, fix, "%s must be more than 0", path)
	}
}

func (v *validator) limits(path string, n *yaml.Node, limits []Limit) {
	if n == nil || !v.sound(n) {
		return
	}
	windows := map[Duration]int{}
	for i, entry := range items(n) {
		l := limits[i]
		if l.Max < 1 {
			at := value(entry, "max")
			v.at(at, "write 1 or more; to stop a policy give it mode: dry-run", "%s[%d].max must be at least 1", path, i)
		}
		at := value(entry, "per")
		switch {
		case l.Per <= 0:
			v.at(at, "write the length of the window, such as 1h", "%s[%d].per must be more than 0", path, i)
		case windows[l.Per] > 0:
			v.at(at, "keep one of them", "%s has two limits per %s, first on line %d", path, l.Per, windows[l.Per])
		default:
			windows[l.Per] = at.Line
		}
	}
}
