package policy

import "fmt"

// Settle gives a remediation that succeeded time to show: alerts over a window
// fire on for a while after the fault is gone.
type Settle struct{}

// Name of the guard.
func (Settle) Name() string { return "settle" }

// Evaluate refuses within settle after this policy's last success on a target.
func (Settle) Evaluate(in *Input) Answer {
	var out Answer
	for _, t := range in.Targets {
		last, ok := in.History.LastSuccess(in.Policy.Name, t, in.Remediation)
		if !ok {
			continue
		}
		until := past(last.Time, in.Now).Add(in.Policy.Settings.Settle)
		if until.After(in.Now) && until.After(out.Until) {
			what := "ended well on"
			if last.Planned {
				what = "was planned (dry run) for"
			}
			out = Answer{Code: CodeSettling, Until: until, Text: fmt.Sprintf("remediation %s %s %s %s ago; it has until %s to show (settle %s)",
				last.Remediation, what, t, span(in.Now.Sub(past(last.Time, in.Now))), until.UTC().Format("15:04:05Z"), span(in.Policy.Settings.Settle))}
		}
	}
	return out
}
