package strictyaml

import (
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Duration is written as in Prometheus: whole numbers with the units y, w, d, h,
// m, s, ms in falling order ("1h30m"), or a bare 0. Never negative.
type Duration time.Duration

// Std is the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is written as it is read.
func (d Duration) String() string { return model.Duration(d).String() }

const durationFix = "write whole numbers with units, the larger unit first: 500ms, 90s, 1h30m, 7d"

// UnmarshalYAML reads a duration; its mistake says what is allowed.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return Mistake{Message: "must be a duration, not " + describe(n), Fix: durationFix}
	}
	v, err := model.ParseDuration(n.Value)
	switch {
	case err == nil:
		*d = Duration(v)
		return nil
	case strings.HasPrefix(n.Value, "-"):
		return Mistake{Message: Shown(n) + " is negative, and a duration cannot be", Fix: durationFix}
	case strings.Contains(n.Value, "."):
		return Mistake{Message: Shown(n) + " has a fraction, and a duration cannot have one", Fix: durationFix}
	case strings.Trim(n.Value, "0123456789") == "" && n.Value != "":
		return Mistake{Message: Shown(n) + " has no unit", Fix: durationFix}
	default:
		return Mistake{Message: Shown(n) + " is not a duration", Fix: durationFix}
	}
}
