package audit

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// types are all of design §7.
var types = []Type{
	DaemonStarted, DaemonStopped, ConfigLoaded, ConfigRejected, NotificationReceived, AlertFiring, AlertResolved,
	IncidentOpened, IncidentLinked, IncidentClosed, RemediationDecided, StepPlanned, StepStarted, StepFinished, StepSkipped,
	CheckFinished, RemediationVerified, RemediationHeld, RemediationClosed, RemediationEffect, ApprovalRequested,
	ApprovalGranted, ApprovalRejected, ApprovalExpired, EscalationSent, EscalationFailed, UpstreamChanged,
	ControlPaused, ControlResumed, ControlCleared, AuditPruned,
}

// filterNames are the parameters of FilterFromValues.
var filterNames = []string{"since", "until", "incident", "alert", "target", "type", "policy", "remediation", "after", "limit", "replica"}

// FilterFromValues reads a filter as the API and the CLI spell it: since and until
// are RFC 3339 times or Prometheus durations meaning that long before now; type
// may be repeated or a list with commas. An unknown parameter or type is an error
// that names it: a filter that is mistyped must not look like "nothing happened".
func FilterFromValues(v url.Values, now time.Time) (Filter, error) {
	for name, values := range v {
		if !slices.Contains(filterNames, name) {
			return Filter{}, fmt.Errorf("unknown filter %q: want one of %s", name, strings.Join(filterNames, ", "))
		}
		if len(values) > 1 && name != "type" {
			return Filter{}, fmt.Errorf("%s: given %d times, want one", name, len(values))
		}
	}
	f := Filter{
		Incident: v.Get("incident"), Alert: v.Get("alert"), Target: v.Get("target"), Policy: v.Get("policy"),
		Remediation: v.Get("remediation"), Replica: v.Get("replica"),
	}
	var err error
	if f.Since, err = timeOf("since", v.Get("since"), now); err != nil {
		return Filter{}, err
	}
	if f.Until, err = timeOf("until", v.Get("until"), now); err != nil {
		return Filter{}, err
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return Filter{}, errors.New("since is not before until: nothing can match")
	}
	if f.Types, err = typesOf(v["type"]); err != nil {
		return Filter{}, err
	}
	if s := v.Get("after"); s != "" {
		if f.AfterSeq, err = strconv.ParseUint(s, 10, 64); err != nil {
			return Filter{}, fmt.Errorf("after %q: want a sequence number", s)
		}
	}
	if s := v.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 1 {
			return Filter{}, fmt.Errorf("limit %q: want a number from 1", s)
		}
	}
	return f, nil
}

func typesOf(lists []string) ([]Type, error) {
	var out []Type
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); {
			case name == "":
			case slices.Contains(types, Type(name)):
				out = append(out, Type(name))
			default:
				return nil, fmt.Errorf("type %q: no such type of record", name)
			}
		}
	}
	return out, nil
}

func timeOf(name, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := model.ParseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %q: want a time such as 2026-01-31T03:00:00Z, or a duration such as 2h for that long ago", name, s)
	}
	return now.Add(-time.Duration(d)), nil
}
