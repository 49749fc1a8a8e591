// Package audit is the journal: one append-only, hash-chained stream of records
// from which everything shown or decided is read (design §7). Log is the writer
// every caller uses; Driver is what a storage technology implements.
package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/prometheus/alertmanager/template"
)

// Type of a record. The set is part of the contract.
type Type string

// The types of records (design §7).
const (
	DaemonStarted        Type = "daemon.started"
	DaemonStopped        Type = "daemon.stopped"
	ConfigLoaded         Type = "config.loaded"
	ConfigRejected       Type = "config.rejected"
	NotificationReceived Type = "notification.received"
	AlertFiring          Type = "alert.firing"
	AlertResolved        Type = "alert.resolved"
	IncidentOpened       Type = "incident.opened"
	IncidentLinked       Type = "incident.linked"
	IncidentClosed       Type = "incident.closed"
	RemediationDecided   Type = "remediation.decided"
	StepPlanned          Type = "step.planned"
	StepStarted          Type = "step.started"
	StepFinished         Type = "step.finished"
	StepSkipped          Type = "step.skipped"
	CheckFinished        Type = "check.finished"
	RemediationVerified  Type = "remediation.verified"
	RemediationHeld      Type = "remediation.held"
	RemediationClosed    Type = "remediation.closed"
	RemediationEffect    Type = "remediation.effect"
	ApprovalRequested    Type = "approval.requested"
	ApprovalGranted      Type = "approval.granted"
	ApprovalRejected     Type = "approval.rejected"
	ApprovalExpired      Type = "approval.expired"
	EscalationSent       Type = "escalation.sent"
	EscalationFailed     Type = "escalation.failed"
	UpstreamChanged      Type = "upstream.changed"
	ControlPaused        Type = "control.paused"
	ControlResumed       Type = "control.resumed"
	ControlCleared       Type = "control.cleared"
	AuditPruned          Type = "audit.pruned"
)

// Reason is why: a code for machines, a sentence for people.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Guard is what one guard answered.
type Guard struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Code    string `json:"code"`
	Text    string `json:"text"`
}

// Record is one line of the journal. Seq, Time, Replica, Prev and Hash are set
// by Log.Append; absent fields are omitted.
type Record struct {
	Seq     uint64 `json:"seq"`
	Time    Time   `json:"time"`
	Type    Type   `json:"type"`
	Replica string `json:"replica"`
	Mode    string `json:"mode,omitempty"`
	Actor   string `json:"actor,omitempty"`
	Config  string `json:"config,omitempty"`

	Incident    string `json:"incident,omitempty"`
	Remediation string `json:"remediation,omitempty"`
	Policy      string `json:"policy,omitempty"`
	Runbook     string `json:"runbook,omitempty"`
	Severity    string `json:"severity,omitempty"`
	Episode     string `json:"episode,omitempty"`
	Target      string `json:"target,omitempty"`
	Step        *int   `json:"step,omitempty"`
	Uses        string `json:"uses,omitempty"`

	Alert *template.Alert `json:"alert,omitempty"`

	Verdict    string          `json:"verdict,omitempty"`
	Reason     *Reason         `json:"reason,omitempty"`
	Guards     []Guard         `json:"guards,omitempty"`
	Plan       json.RawMessage `json:"plan,omitempty"`
	PlanHash   string          `json:"plan_hash,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Outcome    string          `json:"outcome,omitempty"`
	Effect     string          `json:"effect,omitempty"`
	Error      string          `json:"error,omitempty"`
	DurationMS int64           `json:"duration_ms,omitempty"`
	Targets    []string        `json:"targets,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`

	Prev string `json:"prev"`
	Hash string `json:"hash"`
}

// TimeLayout is RFC 3339 in UTC with exactly nine digits of fraction.
const TimeLayout = "2006-01-02T15:04:05.000000000Z"

// Time is a record's time: UTC, nine digits.
type Time struct{ time.Time }

// MarshalJSON writes the contract's layout.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(TimeLayout) + `"`), nil
}

// UnmarshalJSON reads RFC 3339.
func (t *Time) UnmarshalJSON(b []byte) error {
	var v time.Time
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	t.Time = v.UTC()
	return nil
}

// JSON is v as a raw message for Plan, Result and Data. A value that cannot be
// marshalled is a programming error and becomes its error text.
func JSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		b = fmt.Appendf(nil, `{"marshal_error":%q}`, err.Error())
	}
	return b
}
