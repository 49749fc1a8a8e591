package policy

import "fmt"

// Quarantine keeps everybody but a person away from what a failed remediation left
// behind (hold_on_failure).
type Quarantine struct{}

// Name of the guard.
func (Quarantine) Name() string { return "quarantine" }

// Evaluate refuses while a target is in quarantine, also one that only might be
// touched.
func (Quarantine) Evaluate(in *Input) Answer {
	for _, list := range [][]string{in.Targets, in.Possible} {
		for _, t := range list {
			q, ok := in.History.Quarantined(t)
			if !ok {
				continue
			}
			return Answer{Code: CodeQuarantined, Text: fmt.Sprintf("%s is in quarantine since %s, by remediation %s of policy %q (%s); once it is sound: remediator clear %s",
				t, clock(q.Since), q.Remediation, q.Policy, q.Text, t)}
		}
	}
	return Answer{}
}
