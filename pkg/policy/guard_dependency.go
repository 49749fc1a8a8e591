package policy

import (
	"fmt"
	"time"

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
			if why, until := notReady(in, n); why != "" {
				return Answer{Code: CodeDependency, Until: until, Text: fmt.Sprintf("%s %s; %s", n.Target, why, dependent(e.Target, n))}
			}
		}
	}
	return Answer{}
}

// notReady is why nothing that needs the dependency should be started now. What is
// unknown is no reason by itself, unless it was not well when it was last seen, and
// does not contradict an alert either.
func notReady(in *Input, n services.Need) (why string, until time.Time) {
	s := in.World.Get(n.Target)
	last := s
	last.State = s.Seen()
	switch {
	case last.State == "", last.Well(n.Condition), last.State == services.Missing && !s.Declared:
	case s.State == services.Unknown:
		return fmt.Sprintf("was %s when last seen, and cannot be looked at now (%s)", last.State, s.Text), time.Time{}
	case s.Text == "":
		return fmt.Sprintf("is %s", s.State), time.Time{}
	default:
		return fmt.Sprintf("is %s (%s)", s.State, s.Text), time.Time{}
	}
	if why, until = justBack(in, s); why != "" {
		return why, until
	}
	if r := busyElsewhere(in, n.Target); r != "" {
		return fmt.Sprintf("is being worked on by remediation %s", r), time.Time{}
	}
	if eps := in.Handled[n.Target]; len(eps) > 0 && s.State != services.Healthy {
		return fmt.Sprintf("is what alert %q is about (episode %s), and its state (%s) does not contradict that",
			eps[0].Alert.Labels[alertName], eps[0].ID, s.State), time.Time{}
	}
	return "", time.Time{}
}

// dependencyGrace is how long dependents get to come back by themselves once their
// dependency is well again: what their health checks say is from before that, and
// StellarEscrow's ask every 30 s.
const dependencyGrace = 45 * time.Second

// justBack is why a dependency that is well does not count as such yet; "" when it
// does. It concerns one that this alert has waited for, and one that was acted upon.
func justBack(in *Input, s services.Service) (why string, until time.Time) {
	since := time.Time{}
	if in.Episode.Decided[in.Policy.Name].Code == string(CodeDependency) {
		since = s.Since
	}
	if last, ok := in.History.LastEffect(s.Target, in.Remediation); ok && last.Time.After(since) {
		since = last.Time
	}
	until = past(since, in.Now).Add(dependencyGrace)
	if since.IsZero() || !until.After(in.Now) {
		return "", time.Time{}
	}
	return fmt.Sprintf("has just come back: what needs it has until %s to do so by itself", clock(until)), until
}

func dependent(target string, n services.Need) string {
	if n.By == target {
		return target + " depends on it"
	}
	return fmt.Sprintf("%s depends on it through %s", target, n.By)
}
