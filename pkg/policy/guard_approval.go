package policy

// PolicyApproval asks a person for consent to the plan. It stands last: nobody is
// asked about what would be refused anyway.
type PolicyApproval struct{}

// Name of the guard.
func (PolicyApproval) Name() string { return "approval" }

// Evaluate asks where the policy requires it. Consent that was given is told by
// Input.Approved.
func (PolicyApproval) Evaluate(in *Input) Answer {
	if !in.Policy.Settings.Approval.Required {
		return Answer{}
	}
	return Answer{Code: CodeApproval, Text: "the policy asks a person for consent to the plan"}
}
