package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

// asking is a remediation that waits for consent to the plan of a hash.
func (h *history) asking(t time.Time, ep, rem, hash string) {
	h.add(t, audit.Record{
		Type: audit.RemediationDecided, Episode: ep, Policy: "P", Remediation: rem, Verdict: "await_approval",
		Reason: &audit.Reason{Code: "approval"}, Targets: []string{target},
	})
	h.request(t, rem, hash, ledger.ApprovalData{Guards: []string{"approval"}, Expires: t.Add(30 * minute)})
}

func (h *history) request(t time.Time, rem, hash string, d ledger.ApprovalData) {
	h.add(t, audit.Record{Type: audit.ApprovalRequested, Remediation: rem, PlanHash: hash, Data: audit.JSON(d)})
}

func (h *history) answer(t time.Time, rem string, typ audit.Type, hash string) {
	h.add(t, audit.Record{Type: typ, Remediation: rem, PlanHash: hash, Actor: "user:alice"})
}

func (h *history) rem(id string) ledger.Remediation {
	r, _ := h.l.Remediation(id)
	return r
}

func TestApproval_OpensARemediationThatAwaitsIt(t *testing.T) {
	h := newHistory()
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.firing(at(0), "e-2", "other", at(0), ledger.CauseWebhook)
	h.asking(at(1*minute), "e-1", "r-1", "h1")
	h.decided(at(2*minute), "e-2", "P", "r-1", "joined", ledger.Live, target)

	r := h.rem("r-1")
	require.Equal(t, ledger.AwaitingApproval, r.State)
	require.Equal(t, []string{"e-1", "e-2"}, r.Episodes)
	require.Equal(t, []string{target}, r.Targets)
	require.Equal(t, &ledger.Approval{
		Hash: "h1", Guards: []string{"approval"}, Requested: at(1 * minute), Expires: at(31 * minute),
	}, r.Approval)
	e, _ := h.l.Episode("e-1")
	require.Equal(t, "r-1", e.Decided["P"].Remediation)
	require.Zero(t, h.l.View(ledger.Live).Attempts("P", "e-1", ""), "asking is no attempt")

	r.Approval.Decided = ledger.Granted
	require.Empty(t, h.rem("r-1").Approval.Decided, "an answer is the caller's own")
}

func TestApproval_TheFirstAnswerStands(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []audit.Type
		hash    string
		state   ledger.State
		decided string
		by      string
	}{
		{"granted", []audit.Type{audit.ApprovalGranted}, "h1", ledger.Running, ledger.Granted, "user:alice"},
		{"granted, no hash", []audit.Type{audit.ApprovalGranted}, "", ledger.Running, ledger.Granted, "user:alice"},
		{"granted for another plan", []audit.Type{audit.ApprovalGranted}, "h2", ledger.AwaitingApproval, "", ""},
		{"rejected", []audit.Type{audit.ApprovalRejected}, "h1", ledger.AwaitingApproval, ledger.Rejected, "user:alice"},
		{"expired", []audit.Type{audit.ApprovalExpired}, "h1", ledger.AwaitingApproval, ledger.Expired, ""},
		{"too late", []audit.Type{audit.ApprovalExpired, audit.ApprovalGranted}, "h1", ledger.AwaitingApproval, ledger.Expired, ""},
		{"refused, then granted", []audit.Type{audit.ApprovalRejected, audit.ApprovalGranted}, "h1", ledger.AwaitingApproval, ledger.Rejected, "user:alice"},
		{"granted, then expired", []audit.Type{audit.ApprovalGranted, audit.ApprovalExpired}, "h1", ledger.Running, ledger.Granted, "user:alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHistory()
			h.asking(at(0), "e-1", "r-1", "h1")
			for _, typ := range c.answers {
				h.answer(at(1*minute), "r-1", typ, c.hash)
			}
			r := h.rem("r-1")
			require.Equal(t, c.state, r.State)
			require.Equal(t, c.decided, r.Approval.Decided)
			require.Equal(t, c.by, r.Approval.By)
		})
	}
}

func TestApproval_OfAStepKeepsItsLocksAndMayBeHeld(t *testing.T) {
	h := newHistory()
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.started(at(0), "r-1", "P", target, 0)
	h.finished(at(1*minute), "r-1", "P", target, 0, false)
	step := 1
	h.add(at(2*minute), audit.Record{
		Type: audit.ApprovalRequested, Remediation: "r-1", PlanHash: "h1", Step: &step,
		Data: audit.JSON(ledger.ApprovalData{Expires: at(30 * minute), Begun: true}),
	})
	r := h.rem("r-1")
	require.Equal(t, ledger.AwaitingApproval, r.State)
	require.True(t, r.Approval.Begun)
	require.Equal(t, 1, *r.Approval.Step)

	h.add(at(3*minute), audit.Record{Type: audit.RemediationHeld, Remediation: "r-1", Reason: &audit.Reason{Code: "paused"}})
	h.answer(at(4*minute), "r-1", audit.ApprovalGranted, "h1")
	require.Equal(t, ledger.Held, h.rem("r-1").State, "consent does not resume what is held")
	h.add(at(5*minute), audit.Record{Type: audit.ControlResumed, Remediation: "r-1"})
	require.Equal(t, ledger.Running, h.rem("r-1").State)
}

func TestApproval_OfNothingChangesNothing(t *testing.T) {
	h := newHistory()
	h.answer(at(0), "r-9", audit.ApprovalGranted, "")
	h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
	h.answer(at(0), "r-1", audit.ApprovalGranted, "")
	require.Nil(t, h.rem("r-1").Approval)
	h.closed(at(1*minute), "r-1", "failed", ledger.Live, ledger.ClosedData{})
	h.request(at(2*minute), "r-1", "h1", ledger.ApprovalData{})
	require.Equal(t, ledger.Closed, h.rem("r-1").State)
	require.Nil(t, h.rem("r-1").Approval)
}

func TestApproval_AClockSetBackKeepsItsTimeToAnswer(t *testing.T) {
	h := newHistory()
	h.asking(at(1000*time.Hour), "e-1", "r-1", "h1")
	h.l.Clock(at(0))
	r := h.rem("r-1")
	require.Equal(t, at(0), r.Approval.Requested)
	require.Equal(t, at(30*minute), r.Approval.Expires)
	h.l.Clock(at(0))
	require.Equal(t, at(30*minute), h.rem("r-1").Approval.Expires)
}

func TestView_ExpiredPlanAlongTheLineage(t *testing.T) {
	h := newHistory()
	v := h.l.View(ledger.Live)
	h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
	h.asking(at(0), "e-1", "r-1", "h1")
	require.False(t, v.ExpiredPlan("P", "e-1", "h1"))
	h.answer(at(30*minute), "r-1", audit.ApprovalExpired, "h1")
	require.True(t, v.ExpiredPlan("P", "e-1", "h1"))
	h.request(at(31*minute), "r-1", "h2", ledger.ApprovalData{Expires: at(60 * minute)})
	h.answer(at(32*minute), "r-1", audit.ApprovalGranted, "h2")
	h.closed(at(33*minute), "r-1", "failed", ledger.Live, ledger.ClosedData{})
	require.True(t, v.ExpiredPlan("P", "e-1", "h1"), "whatever was asked since")
	require.False(t, v.ExpiredPlan("P", "e-1", "h2"), "a plan that is not the same may be asked about")
	require.False(t, v.ExpiredPlan("Q", "e-1", "h1"))
	require.False(t, v.ExpiredPlan("P", "e-9", "h1"))

	h.resolved(at(40*minute), "e-1", "fp", at(0), at(40*minute), ledger.CauseWebhook)
	h.firing(at(45*minute), "e-2", "fp", at(45*minute), ledger.CauseWebhook)
	require.True(t, v.ExpiredPlan("P", "e-2", "h1"), "it flapped")
	h.resolved(at(50*minute), "e-2", "fp", at(45*minute), at(50*minute), ledger.CauseWebhook)
	h.firing(at(90*minute), "e-3", "fp", at(90*minute), ledger.CauseWebhook)
	require.False(t, v.ExpiredPlan("P", "e-3", "h1"))
}

func TestView_ExpiredPlanByTheOutcomeAlone(t *testing.T) {
	for outcome, want := range map[string]bool{"expired": true, "cancelled": false} {
		h := newHistory()
		h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
		h.asking(at(0), "e-1", "r-1", "h1")
		h.closed(at(30*minute), "r-1", outcome, ledger.Live, ledger.ClosedData{})
		require.Equal(t, want, h.l.View(ledger.Live).ExpiredPlan("P", "e-1", "h1"), outcome)
	}
}

func TestLedger_ForgetsNothingThatIsUnderWay(t *testing.T) {
	for name, change := range map[string]func(*history){
		"running":           func(*history) {},
		"awaiting approval": func(h *history) { h.request(at(0), "r-1", "h1", ledger.ApprovalData{}) },
		"held":              func(h *history) { h.add(at(0), audit.Record{Type: audit.RemediationHeld, Remediation: "r-1"}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory()
			h.firing(at(0), "e-1", "fp", at(0), ledger.CauseWebhook)
			h.decided(at(0), "e-1", "P", "r-1", "allowed", ledger.Live, target)
			change(h)
			h.resolved(at(1*minute), "e-1", "fp", at(0), at(1*minute), ledger.CauseWebhook)
			before := h.rem("r-1")
			h.wait(9 * 24 * time.Hour)
			require.Equal(t, before, h.rem("r-1"))
			_, ok := h.l.Episode("e-1")
			require.True(t, ok, "with the episode that it is about")

			h.closed(at(9*24*time.Hour), "r-1", "cancelled", ledger.Live, ledger.ClosedData{})
			h.wait(18 * 24 * time.Hour)
			_, ok = h.l.Remediation("r-1")
			require.False(t, ok)
			_, ok = h.l.Latest(alert.Fingerprint(*anAlert("fp", alert.Firing, at(0), time.Time{})))
			require.False(t, ok)
		})
	}
}
