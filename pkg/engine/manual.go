package engine

import (
	"context"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// RunAnswer is what became of a person's request to run a policy.
type RunAnswer struct {
	Episode     string        `json:"episode"`
	Remediation string        `json:"remediation,omitempty"` // "": refused
	Policy      string        `json:"policy"`
	Mode        string        `json:"mode"`
	Verdict     string        `json:"verdict"`
	Reason      audit.Reason  `json:"reason"`
	Guards      []audit.Guard `json:"guards"`
}

// Run starts a policy for a person: a synthetic episode with the given labels goes
// through all guards. One that is refused ends at once: nothing that a person asked
// for starts hours later by surprise. An unknown policy is a *NotFoundError.
func (e *Engine) Run(ctx context.Context, policy string, labels map[string]string, actor, reason string) (RunAnswer, error) {
	return RunAnswer{}, nil
}

// Clear ends the quarantine of a target. A target that is in none is a *NotFoundError.
func (e *Engine) Clear(ctx context.Context, target, actor, reason string) error { return nil }
