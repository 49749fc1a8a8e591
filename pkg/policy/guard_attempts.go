package policy

import "fmt"

// Attempts bounds how often a policy tries to help one episode. What did not help
// twice is for people.
type Attempts struct{}

// Name of the guard.
func (Attempts) Name() string { return "attempts" }

// Evaluate refuses when no attempt is left, or when an earlier remediation of the
// episode handed over to people.
func (Attempts) Evaluate(in *Input) Answer {
	if r, ok := in.History.Final(in.Policy.Name, in.Episode.ID); ok && r.ID != in.Remediation {
		return Answer{Code: CodeAttempts, Text: fmt.Sprintf("remediation %s ended as %s; the episode is with people now", r.ID, r.Outcome)}
	}
	n := in.History.Attempts(in.Policy.Name, in.Episode.ID, in.Remediation)
	if n >= in.Policy.Settings.Attempts {
		return Answer{Code: CodeAttempts, Text: fmt.Sprintf("%d of %d attempts have been made in this episode", n, in.Policy.Settings.Attempts)}
	}
	return Answer{}
}
