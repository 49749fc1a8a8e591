package config

import (
	"go.yaml.in/yaml/v3"

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
