package policy

import "fmt"

// Cooldown keeps effects on one target apart, whichever policy had them. The
// value of the policy that asks applies.
type Cooldown struct{}

// Name of the guard.
func (Cooldown) Name() string { return "cooldown" }

// Evaluate refuses within cooldown after the last effect on a target.
func (Cooldown) Evaluate(in *Input) Answer {
	var out Answer
	for _, t := range in.Targets {
		last, ok := in.History.LastEffect(t, in.Remediation)
		if !ok {
			continue
		}
		until := past(last.Time, in.Now).Add(in.Policy.Settings.Cooldown)
		if until.After(in.Now) && until.After(out.Until) {
			out = Answer{Code: CodeCooldown, Until: until, Text: fmt.Sprintf("%s was changed %s ago by remediation %s of policy %q; cooldown %s ends at %s",
				t, span(in.Now.Sub(past(last.Time, in.Now))), last.Remediation, last.Policy, span(in.Policy.Settings.Cooldown), until.UTC().Format("15:04:05Z"))}
		}
	}
	return out
}
