package alert

import (
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/alertmanager/template"
)

const bad = http.StatusBadRequest

// check refuses a decoded notification that says too little, or too much, to be
// acted upon, and drops alerts that repeat another.
func check(n *Notification) *Error {
	switch n.Version {
	case "4":
	case "":
		return refuse(bad, CodeVersion, `version is missing: want "4", is this an Alertmanager webhook notification?`)
	default:
		return refuse(bad, CodeVersion, `version %s is not supported: want "4"`, brief(n.Version))
	}
	// The embedded pointer stays nil when no field of template.Data came.
	if n.Data == nil || len(n.Alerts) == 0 {
		return refuse(bad, CodeNoAlerts, "the notification holds no alerts")
	}
	if len(n.Alerts) > MaxAlerts { // scan counts too; this one cannot be fooled
		return refuse(bad, CodeTooMany, "%d alerts in one notification, at most %d", len(n.Alerts), MaxAlerts)
	}
	if n.Status != "" && !known(n.Status) {
		return refuse(bad, CodeStatus, "status %s: want firing or resolved", brief(n.Status))
	}
	for _, kv := range []template.KV{n.GroupLabels, n.CommonLabels, n.RouteLabels} {
		if err := checkLabels(-1, kv); err != nil {
			return err
		}
	}
	for i, a := range n.Alerts {
		if err := checkAlert(i, a); err != nil {
			return err
		}
	}
	return once(n.Data)
}

func known(status string) bool { return status == Firing || status == Resolved }

func checkAlert(i int, a Alert) *Error {
	if !known(a.Status) {
		return refuse(bad, CodeStatus, "alerts[%d]: status %s: want firing or resolved", i, brief(a.Status))
	}
	if len(a.Labels) == 0 {
		return refuse(bad, CodeNoLabels, "alerts[%d]: no labels: an alert without labels has no identity", i)
	}
	if err := checkLabels(i, a.Labels); err != nil {
		return err
	}
	for _, t := range []time.Time{a.StartsAt, a.EndsAt} {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return refuse(bad, CodeTime, "alerts[%d]: a time in year %d (UTC): want 1 to 9999", i, y)
		}
	}
	if a.Status == Firing && a.StartsAt.Year() < 1970 {
		return refuse(bad, CodeStartsAt, "alerts[%d]: fires without a startsAt: its episode cannot be told from the one before", i)
	}
	return nil
}

// checkLabels refuses empty names and anything over MaxLabelBytes; i is the
// alert's index, -1 for the labels of the group.
func checkLabels(i int, kv template.KV) *Error {
	for name, value := range kv {
		switch {
		case name == "":
			return refuse(bad, CodeLabelName, "%s: a label has an empty name", place(i))
		case len(name) > MaxLabelBytes:
			return refuse(bad, CodeLabelSize, "%s: a label name of %d bytes, at most %d: %s", place(i), len(name), MaxLabelBytes, brief(name))
		case len(value) > MaxLabelBytes:
			return refuse(bad, CodeLabelSize, "%s: label %s has %d bytes, at most %d", place(i), brief(name), len(value), MaxLabelBytes)
		}
	}
	return nil
}

func place(i int) string {
	if i < 0 {
		return "group"
	}
	return "alerts[" + strconv.Itoa(i) + "]"
}

// once drops alerts that repeat an earlier one word for word. Two that share a
// fingerprint and differ contradict each other: the whole is refused, because
// whichever were taken might be the wrong one.
func once(d *template.Data) *Error {
	first := make(map[string]int, len(d.Alerts))
	kept := d.Alerts[:0:0]
	for i, a := range d.Alerts {
		id := Fingerprint(a)
		j, again := first[id]
		if !again {
			first[id] = i
			kept = append(kept, a)
			continue
		}
		if b := d.Alerts[j]; a.Status != b.Status || !a.StartsAt.Equal(b.StartsAt) || !maps.Equal(a.Labels, b.Labels) {
			return refuse(bad, CodeConflict, "alerts[%d] and alerts[%d] have one fingerprint %s but differ in status, start or labels", j, i, id)
		}
	}
	d.Alerts = kept
	return nil
}
