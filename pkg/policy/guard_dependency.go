package policy

import (
	"fmt"

	"github.com/stellarescrow/remediator/pkg/services"
)

// Dependency keeps a service from being started while something that it needs is
// not well: it would not come up, and the cause lies elsewhere.
type Dependency struct{}

// Name of the guard.
func (Dependency) Name() string { return "dependency" }

// Evaluate looks at all direct and indirect dependencies of what would be started.
// Targets of the remediation itself do not count against it.
func (Dependency) Evaluate(in *Input) Answer {
	for _, e := range in.Effects {
		if !startsContainers(e.Uses) {
			continue
		}
		for _, n := range in.World.Needs(e.Target) {
			if mine(in, n.Target) {
				continue
			}
			if why := notReady(in, n); why != "" {
				return Answer{Code: CodeDependency, Text: fmt.Sprintf("%s %s; %s", n.Target, why, dependent(e.Target, n))}
			}
		}
	}
	return Answer{}
}

// notReady is why nothing that needs the dependency should be started now. What is
// unknown is no reason by itself, unless it was not well when it was last seen, and
// does not contradict an alert either.
func notReady(in *Input, n services.Need) string {
	s := in.World.Get(n.Target)
	last := s
	last.State = s.Seen()
	switch {
	case last.State == "", last.Well(n.Condition), last.State == services.Missing && !s.Declared:
	case s.State == services.Unknown:
		return fmt.Sprintf("was %s when last seen, and cannot be looked at now (%s)", last.State, s.Text)
	case s.Text == "":
		return fmt.Sprintf("is %s", s.State)
	default:
		return fmt.Sprintf("is %s (%s)", s.State, s.Text)
	}
	if r := busyElsewhere(in, n.Target); r != "" {
		return fmt.Sprintf("is being worked on by remediation %s", r)
	}
	if eps := in.Handled[n.Target]; len(eps) > 0 && s.State != services.Healthy {
		return fmt.Sprintf("is what alert %q is about (episode %s), and its state (%s) does not contradict that",
			eps[0].Alert.Labels[alertName], eps[0].ID, s.State)
	}
	return ""
}

func dependent(target string, n services.Need) string {
	if n.By == target {
		return target + " depends on it"
	}
	return fmt.Sprintf("%s depends on it through %s", target, n.By)
}
