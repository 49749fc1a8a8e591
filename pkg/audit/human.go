package audit

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Human is a record as one line for people: what happened, to what, and why.
func (r *Record) Human() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-22s", r.Time.UTC().Format("15:04:05.000"), r.Type)
	word := func(s string) {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if r.Step != nil {
		word(fmt.Sprintf("#%d", *r.Step))
	}
	word(r.Uses)
	if r.Alert != nil && r.Uses == "" {
		word(r.Alert.Labels["alertname"])
	}
	if r.Policy != "" && (r.Type == RemediationDecided || r.Type == EscalationSent) {
		word("policy " + r.Policy)
	}
	word(r.Target)
	switch r.Type {
	case RemediationDecided:
		word(r.Verdict + ":")
	case RemediationClosed:
		word(r.Outcome + ":")
	case RemediationEffect:
		word(r.Effect)
	default:
	}
	if r.Reason != nil {
		word(r.Reason.Text)
	}
	word(textOf(r.Plan))
	word(textOf(r.Result))
	if r.Error != "" {
		word("error: " + firstLine(r.Error))
	}
	if r.DurationMS > 0 {
		word(fmt.Sprintf("(%d ms)", r.DurationMS))
	}
	return b.String()
}

func textOf(raw json.RawMessage) string {
	var v struct {
		Text string `json:"text"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return ""
	}
	return firstLine(v.Text)
}

func firstLine(s string) string {
	line, rest, more := strings.Cut(s, "\n")
	if more && strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}
