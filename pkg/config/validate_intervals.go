package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

func (v *validator) timeIntervals() {
	seen := map[string]int{}
	for i, entry := range items(strictyaml.Child(v.root, "time_intervals")) {
		if i >= len(v.c.TimeIntervals) || !v.sound(entry) {
			continue
		}
		t := &v.c.TimeIntervals[i]
		path := entryPath("time_intervals", i, entry, t.Name)
		v.named("time interval", entry, t.Name, seen)
		if len(t.Times) == 0 {
			v.at(value(entry, "time_intervals"), "add time_intervals: [{weekdays: ['monday:friday']}]", "%s holds no time at all", path)
		}
		for j, n := range items(strictyaml.Child(entry, "time_intervals")) {
			if unlimited(t.Times[j]) {
				v.at(n, "add times, weekdays, days_of_month, months or years", "%s.time_intervals[%d] is all the time", path, j)
			}
		}
	}
}

// intervals checks the time intervals that a policy names.
func (v *validator) intervals(path string, guards *yaml.Node, g PolicyGuards) {
	var known []string
	for _, t := range v.c.TimeIntervals {
		known = append(known, t.Name)
	}
	declared := v.sound(strictyaml.Child(v.root, "time_intervals"))
	check := func(n *yaml.Node, word string) {
		if declared && !slices.Contains(known, word) {
			v.at(n, undeclared(word, known, "add time_intervals: [{name: ..., time_intervals: [...]}] at the top level"),
				"%s: time interval %s is not declared", path, strictyaml.Shown(n))
		}
	}
	active := strictyaml.Child(guards, "active_time_intervals")
	v.each(path+".active_time_intervals", active, g.Active, check)
	v.each(path+".mute_time_intervals", strictyaml.Child(guards, "mute_time_intervals"), g.Mute, check)
	if len(g.Active) > 0 && !slices.ContainsFunc(g.Active, func(a string) bool { return !slices.Contains(g.Mute, a) }) {
		v.at(active, "remove them from one of the two lists", "%s: every active time interval is muted as well, so nothing would ever be done", path)
	}
}
