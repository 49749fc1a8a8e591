package handlers

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// Approval is a request for a person's consent to a plan, and what became of it.
type Approval struct {
	PlanHash  string    `json:"plan_hash"`
	Step      *int      `json:"step,omitempty"`   // absent: for the whole plan
	Guards    []string  `json:"guards,omitempty"` // that asked
	Requested time.Time `json:"requested"`
	Expires   time.Time `json:"expires"`
	Decided   string    `json:"decided,omitempty"` // granted, rejected or expired; absent: open
	By        string    `json:"by,omitempty"`
}

// Awaiting is a remediation that asks for consent now.
type Awaiting struct {
	ID     string `json:"id"`
	Policy string `json:"policy"`
	Approval
	Text  string `json:"text"`            // of the plan
	Alert string `json:"alert,omitempty"` // name of the one it is about
	Why   string `json:"why,omitempty"`   // consent is needed, in the words of the guards
}

// PlanChangedError says that consent was given to another plan than the one that
// is asked for: a 409.
type PlanChangedError struct{ ID, Asked, Given string }

// Error names both hashes.
func (e *PlanChangedError) Error() string {
	return fmt.Sprintf("remediation %s asks for consent to plan %s, not to %s: look at the plan again, then approve that one", e.ID, e.Asked, e.Given)
}

// approve is POST /api/v1/remediations/{id}/approve: consent to the plan of that
// hash and to no other.
func (a *api) approve(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		PlanHash string `json:"plan_hash"`
		Reason   string `json:"reason"`
	}
	if err := readControl(w, r, &body); err != nil {
		return err
	}
	if body.PlanHash == "" {
		return problem.New(http.StatusBadRequest, "invalid_request",
			"plan_hash is missing: consent is for one plan; GET /api/v1/remediations/%s shows it with its hash", id)
	}
	if err := a.Controller.Approve(r.Context(), who.Actor(), id, body.PlanHash, body.Reason); err != nil {
		return err
	}
	return ok(w)
}

// reject is POST /api/v1/remediations/{id}/reject: the policy is not tried again in
// that episode.
func (a *api) reject(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if err := readControl(w, r, &body); err != nil {
		return err
	}
	if err := a.Controller.Reject(r.Context(), who.Actor(), id, body.Reason); err != nil {
		return err
	}
	return ok(w)
}
