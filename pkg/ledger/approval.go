package ledger

import "time"

// Approval is a request for a person's consent to a plan.
type Approval struct {
	Hash      string // of the plan it is for
	Step      *int   // nil: for the whole plan; else for that step alone
	Guards    []string
	Requested time.Time
	Expires   time.Time
	// Decided is empty while it is open, else granted, rejected or expired.
	Decided string
	By      string // who granted or rejected it
}

// Decisions on an approval.
const (
	Granted  = "granted"
	Rejected = "rejected"
	Expired  = "expired"
)

// ApprovalData is the data of approval.requested; the record carries plan and
// plan_hash, and step where it is for one step alone.
type ApprovalData struct {
	Guards  []string  `json:"guards,omitempty"` // that asked
	Expires time.Time `json:"expires"`
	// Begun: it is asked for after the first effect, and locks are kept.
	Begun bool `json:"begun,omitempty"`
}
