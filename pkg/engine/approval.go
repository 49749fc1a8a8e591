package engine

import "context"

// Approve grants what a remediation asks for: consent to the plan of that hash. A
// *StateError says that it does not ask, a *PlanChangedError that it asks for
// consent to another plan.
func (e *Engine) Approve(ctx context.Context, id, planHash, actor, reason string) error { return nil }

// Reject refuses consent: the policy is not tried again in the episode.
func (e *Engine) Reject(ctx context.Context, id, actor, reason string) error { return nil }

// PlanChangedError says that consent was given to another plan than is asked for.
type PlanChangedError struct{ ID, Want, Got string }

// Error names both hashes.
func (e *PlanChangedError) Error() string {
	return "remediation " + e.ID + " asks for consent to plan " + e.Want + ", not to " + e.Got + ": look at the plan again"
}
