package ledger

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// Approval is a request for a person's consent to a plan.
type Approval struct {
	Hash      string // of the plan it is for
	Step      *int   // nil: for the whole plan; else for that step alone
	Guards    []string
	Requested time.Time
	Expires   time.Time
	// Begun: it is asked for after the first effect, and locks are kept.
	Begun bool
	Phase string // of the step
	// Decided is empty while it is open, else granted, rejected or expired.
	Decided string
	By      string // who granted or rejected it: the actor of the record
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
	Begun bool   `json:"begun,omitempty"`
	Phase string `json:"phase,omitempty"` // of the step: steps, on_failure
}

func (l *Ledger) approvalLocked(r *audit.Record) {
	rem := l.rems[r.Remediation]
	if rem == nil || rem.State == Closed {
		return
	}
	switch r.Type {
	case audit.ApprovalRequested:
		var d ApprovalData
		_ = json.Unmarshal(r.Data, &d)
		rem.Approval = &Approval{
			Hash: r.PlanHash, Step: r.Step, Guards: d.Guards, Requested: r.Time.Time, Expires: d.Expires, Begun: d.Begun, Phase: d.Phase,
		}
		rem.State = AwaitingApproval
	case audit.ApprovalGranted:
		// Consent to another plan than the one that is asked about is none.
		consents := rem.Approval != nil && (r.PlanHash == "" || r.PlanHash == rem.Approval.Hash)
		if consents && rem.decideApproval(Granted, r.Actor) {
			rem.Grants = append(rem.Grants, *rem.Approval)
			if rem.State == AwaitingApproval {
				rem.State = Running
			}
		}
	case audit.ApprovalRejected:
		rem.decideApproval(Rejected, r.Actor)
	case audit.ApprovalExpired:
		rem.decideApproval(Expired, "")
	}
}

// decideApproval ends the open request. The first decision stands: consent that
// comes after the request expired is too late.
func (r *Remediation) decideApproval(decision, by string) bool {
	if r.Approval == nil || r.Approval.Decided != "" {
		return false
	}
	r.Approval.Decided, r.Approval.By = decision, by
	if decision == Expired {
		r.expired = append(r.expired, r.Approval.Hash)
	}
	return true
}

// clamp moves a request from the future to the present, with all the time that it
// gives people to answer.
func (a *Approval) clamp(c clamp) {
	if a == nil || !a.Requested.After(time.Time(c)) {
		return
	}
	if !a.Expires.IsZero() {
		a.Expires = a.Expires.Add(time.Time(c).Sub(a.Requested))
	}
	a.Requested = time.Time(c)
}

// Final is a remediation after which the policy is not tried again in the episode:
// it handed over to people, or people refused it. Live decisions read live ones
// only; dry-run decisions read both, because they say what live would.
func (v View) Final(policy, episode string) (Remediation, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	for _, r := range v.l.lineageLocked(policy, episode) {
		if v.reads(r) && r.final() {
			return r.copy(), true
		}
	}
	return Remediation{}, false
}

func (r *Remediation) final() bool {
	if r.State != Closed {
		return false
	}
	switch r.Outcome {
	case "escalated":
		return true
	case "expired": // before the first effect another plan may be asked for
		return r.HadEffect()
	case "cancelled": // by a person, who took over
		return r.Reason != nil && (r.Reason.Code == Rejected || r.Reason.Code == "cancelled")
	default:
		return false
	}
}

// ExpiredPlan says whether consent to a plan was asked for in the episode (along
// its lineage) by a policy, and the request expired.
func (v View) ExpiredPlan(policy, episode, hash string) bool {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	return slices.ContainsFunc(v.l.lineageLocked(policy, episode), func(r *Remediation) bool {
		return v.reads(r) && slices.Contains(r.expired, hash)
	})
}

// reads says whether decisions of the view's mode read a remediation.
func (v View) reads(r *Remediation) bool { return r.Mode != DryRun || v.planned() }
