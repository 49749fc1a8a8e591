package policy

import "fmt"

// TargetBusy keeps two remediations from working on one target at once.
type TargetBusy struct{}

// Name of the guard.
func (TargetBusy) Name() string { return "target_busy" }

// Evaluate refuses while another remediation holds the lock of a possible target.
func (TargetBusy) Evaluate(in *Input) Answer {
	for _, t := range in.Possible {
		if holder := in.Busy[t]; holder != "" && holder != in.Remediation {
			return Answer{Code: CodeTargetBusy, Text: fmt.Sprintf("%s is being worked on by remediation %s", t, holder)}
		}
	}
	return Answer{}
}
