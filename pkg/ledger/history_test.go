package ledger_test

import (
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

var t0 = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// history writes records as the engine does and projects them one by one.
type history struct {
	l    *ledger.Ledger
	recs []*audit.Record
}

func newHistory() *history { return &history{l: ledger.New()} }

func (h *history) add(t time.Time, r audit.Record) {
	r.Seq, r.Replica, r.Time = uint64(len(h.recs)+1), "r1", audit.Time{Time: t}
	if r.Mode == "" {
		r.Mode = ledger.Live
	}
	h.recs = append(h.recs, &r)
	h.l.Apply([]*audit.Record{&r})
}

func anAlert(fp, status string, start, end time.Time) *alert.Alert {
	return &alert.Alert{Status: status, Fingerprint: fp, StartsAt: start, EndsAt: end, Labels: map[string]string{"alertname": fp}}
}

func (h *history) firing(t time.Time, ep, fp string, start time.Time, cause string) {
	h.add(t, audit.Record{
		Type: audit.AlertFiring, Episode: ep, Alert: anAlert(fp, alert.Firing, start, time.Time{}),
		Data: audit.JSON(ledger.AlertData{Cause: cause}),
	})
}

func (h *history) resolved(t time.Time, ep, fp string, start, end time.Time, cause string) {
	h.add(t, audit.Record{
		Type: audit.AlertResolved, Episode: ep, Alert: anAlert(fp, alert.Resolved, start, end),
		Data: audit.JSON(ledger.AlertData{Cause: cause}),
	})
}

func (h *history) decided(t time.Time, ep, policy, rem, code, mode string, targets ...string) {
	verdict := "execute"
	if code != "allowed" {
		verdict = "ignore"
	}
	h.add(t, audit.Record{
		Type: audit.RemediationDecided, Episode: ep, Policy: policy, Remediation: rem, Mode: mode,
		Verdict: verdict, Reason: &audit.Reason{Code: code, Text: code}, Targets: targets,
	})
}

func (h *history) started(t time.Time, rem, policy, target string, step int) {
	h.add(t, audit.Record{
		Type: audit.StepStarted, Remediation: rem, Policy: policy, Target: target, Step: &step, Uses: "docker.restart",
		Data: audit.JSON(ledger.StepData{Phase: "steps"}),
	})
}

// intent is one effect on several targets.
func (h *history) intent(t time.Time, rem string, targets ...string) {
	step := 0
	h.add(t, audit.Record{
		Type: audit.StepStarted, Remediation: rem, Policy: "P", Target: targets[0], Targets: targets, Step: &step,
		Data: audit.JSON(ledger.StepData{Phase: "steps"}),
	})
}

func (h *history) finished(t time.Time, rem, policy, target string, step int, cancelled bool) {
	h.add(t, audit.Record{
		Type: audit.StepFinished, Remediation: rem, Policy: policy, Target: target, Step: &step, Uses: "docker.restart",
		Data: audit.JSON(ledger.StepData{Phase: "steps", Cancelled: cancelled}),
	})
}

func (h *history) closed(t time.Time, rem, outcome, mode string, d ledger.ClosedData) {
	h.add(t, audit.Record{Type: audit.RemediationClosed, Remediation: rem, Outcome: outcome, Mode: mode, Data: audit.JSON(d)})
}

// worked is a remediation with one effect on a target that takes a minute.
func (h *history) worked(t time.Time, ep, policy, rem, target, outcome string) {
	h.decided(t, ep, policy, rem, "allowed", ledger.Live, target)
	h.started(t, rem, policy, target, 0)
	h.finished(t.Add(time.Minute), rem, policy, target, 0, false)
	h.closed(t.Add(2*time.Minute), rem, outcome, ledger.Live, ledger.ClosedData{Intents: 1})
}

// wait lets time pass, with so many records that what is old is forgotten.
func (h *history) wait(until time.Duration) {
	for range 3000 {
		h.add(at(until), audit.Record{Type: audit.StepPlanned})
	}
}
