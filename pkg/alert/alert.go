// Package alert is what comes in: Alertmanager's webhook notification, decoded
// with Alertmanager's own types and checked against the limits of design §8.
package alert

import (
	"regexp"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// Status of one alert, as Alertmanager writes it.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Alert is one labelled alert of a notification, in Alertmanager's own shape.
type Alert = template.Alert

// Notification is one webhook call of Alertmanager: a group of alerts. The
// wrapper repeats notify/webhook.Message of Alertmanager, which is not imported
// because it brings every notifier of Alertmanager with it.
type Notification struct {
	*template.Data
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
}

// Limits of one notification (design §8).
const (
	MaxBody       = 16 << 20
	MaxAlerts     = 10_000
	MaxLabelBytes = 64 << 10
)

var plainID = regexp.MustCompile(`^[0-9A-Za-z_.:-]{1,64}$`)

// Fingerprint is the identity of an alert's label set: what Alertmanager sent,
// or, where it sent none or something that is no identifier, the same hash
// computed from the labels (model.LabelSet.Fingerprint, as Alertmanager does).
func Fingerprint(a Alert) string {
	if plainID.MatchString(a.Fingerprint) {
		return a.Fingerprint
	}
	set := make(model.LabelSet, len(a.Labels))
	for k, v := range a.Labels {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	return set.Fingerprint().String()
}

// EndsAt is the alert's end, zero when there is none: Alertmanager writes year 1
// for a firing alert.
func EndsAt(a Alert) time.Time {
	if a.EndsAt.Year() <= 1 {
		return time.Time{}
	}
	return a.EndsAt
}
