package policy

import "fmt"

// BreakerOpen stops a policy that fails again and again, on whatever targets, and
// after a rest lets one trial through.
type BreakerOpen struct{}

// Name of the guard.
func (BreakerOpen) Name() string { return "breaker" }

// Evaluate refuses while the breaker is open, and while a trial is under way or its
// effect is not known yet.
func (BreakerOpen) Evaluate(in *Input) Answer {
	b := in.Policy.Settings.Breaker
	s := in.History.Streak(in.Policy.Name)
	if b.Failures <= 0 || s.Failures < b.Failures {
		return Answer{}
	}
	failed := fmt.Sprintf("the policy failed %d times in a row (breaker: %d), last at %s", s.Failures, b.Failures, clock(past(s.Last, in.Now)))
	if until := past(s.Last, in.Now).Add(b.OpenFor); until.After(in.Now) {
		// People are told at once, and once: for an hour nothing is done about the alert.
		return Answer{Code: CodeBreakerOpen, Until: until, TellAt: past(s.Last, in.Now), Text: fmt.Sprintf("%s; one trial is let through after %s, at %s", failed, span(b.OpenFor), clock(until))}
	}
	if s.Pending != "" && s.Pending != in.Remediation {
		return Answer{Code: CodeBreakerOpen, Text: fmt.Sprintf("%s; a trial is under way: whether remediation %s helped is not known yet", failed, s.Pending)}
	}
	for _, a := range in.Active {
		if a.Policy == in.Policy.Name && a.Mode != DryRun && !a.Asking && a.Remediation != in.Remediation {
			return Answer{Code: CodeBreakerOpen, Text: fmt.Sprintf("%s; a trial is under way: remediation %s", failed, a.Remediation)}
		}
	}
	return Answer{Text: failed + "; this is the trial"}
}
