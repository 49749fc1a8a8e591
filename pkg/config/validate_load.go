package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

func (v *validator) blastRadius() {
	n := strictyaml.Child(v.root, "blast_radius")
	if !v.sound(n) {
		return
	}
	if v.c.BlastRadius.MaxConcurrent < 1 {
		at := value(n, "max_concurrent")
		v.at(at, "write 1 or more; to stop everything, pause remediator", "blast_radius.max_concurrent must be at least 1, not %s", strictyaml.Shown(at))
	}
	if v.c.BlastRadius.MaxUnhealthy < 0 {
		at := value(n, "max_unhealthy")
		v.at(at, "write 3 for the default; 0 allows nothing while anything else is unhealthy", "blast_radius.max_unhealthy must not be negative, got %s", strictyaml.Shown(at))
	}
}

// mostChanges are the openings of one alert that the ledger remembers.
const mostChanges = 100

func (v *validator) flap() {
	n, f := strictyaml.Child(v.root, "flap"), v.c.Flap
	if n != nil && v.sound(n) && v.several("flap.changes", value(n, "changes"), f.Changes, 4) {
		if at := value(n, "changes"); f.Changes > mostChanges {
			v.at(at, "write a number up to 100", "flap.changes of %d can never be reached: the newest %d are remembered", f.Changes, mostChanges)
		}
		v.window("flap", n, f.Within, f.Clear)
	}
}

func (v *validator) storm() {
	n, s := strictyaml.Child(v.root, "storm"), v.c.Storm
	if n != nil && v.sound(n) && v.several("storm.episodes", value(n, "episodes"), s.Episodes, 50) {
		v.window("storm", n, s.Within, s.Clear)
	}
}

// several checks a count of episodes: one alone is nothing to be afraid of. It says
// whether the guard is on.
func (v *validator) several(path string, at *yaml.Node, n, def int) bool {
	if n < 0 || n == 1 {
		v.at(at, "write 0 to switch it off, or 2 or more", "%s must be at least 2, not %d; the default is %d", path, n, def)
	}
	return n != 0
}

func (v *validator) window(path string, n *yaml.Node, within, quiet Duration) {
	v.positive(path+".within", value(n, "within"), &within, "write the length of the window, such as 1m")
	v.positive(path+".clear", value(n, "clear"), &quiet, "write how long it must be quiet, such as 15m")
}
