package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// watched are the upstreams, by name.
func (r *reader) watched() []handlers.Upstream {
	if r.upstreams == nil {
		return nil
	}
	list := r.upstreams()
	slices.SortFunc(list, func(a, b handlers.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// shownUpstreams is what a watch says, for people. One of which nothing is known yet
// is unknown.
func shownUpstreams(list []upstream.Status) []handlers.Upstream {
	out := make([]handlers.Upstream, 0, len(list))
	for _, u := range list {
		c := u.Change
		if c.State == "" {
			c.State, c.Text = upstream.Unknown, "its page has not answered yet"
		}
		out = append(out, handlers.Upstream{
			UpstreamLine: handlers.UpstreamLine{Name: u.Name, State: string(c.State), Impact: c.Impact, Since: c.Since, Text: c.Text},
			Events:       c.Events, LastGood: u.LastGood, LastError: u.LastError, NextPoll: u.NextPoll,
		})
	}
	return out
}

// Upstreams are the third parties that are watched.
func (r *reader) Upstreams(context.Context) ([]handlers.Upstream, error) { return r.watched(), nil }

// active is what is under way, with why it is held.
func (r *reader) active() []handlers.Active {
	var out []handlers.Active
	for _, a := range r.engine.View().Active {
		one := handlers.Active{ID: a.ID, Policy: a.Policy, Mode: a.Mode, State: a.State, Targets: a.Targets, Since: a.Since}
		if rem, ok := r.ledger.Remediation(a.ID); ok && a.State == string(ledger.Held) && rem.Reason != nil {
			one.Text = rem.Reason.Text
		}
		out = append(out, one)
	}
	return out
}

// awaiting are the remediations that ask a person for consent, oldest first.
func (r *reader) awaiting(ctx context.Context) ([]handlers.Awaiting, error) {
	var out []handlers.Awaiting
	asking := func(rem *ledger.Remediation) bool {
		return rem.Approval != nil && rem.Approval.Decided == "" && rem.State == ledger.AwaitingApproval
	}
	for _, rem := range r.ledger.Remediations(asking) {
		one := handlers.Awaiting{ID: rem.ID, Policy: rem.Policy, Alert: r.alertName(rem), Approval: approval(rem.Approval)}
		newest := audit.Filter{Remediation: rem.ID, Types: []audit.Type{audit.ApprovalRequested}, Reverse: true, Limit: 1}
		err := r.log.Scan(ctx, newest, func(s audit.Stored) error {
			one.Text = planText(s.Record.Plan)
			if s.Record.Reason != nil {
				one.Why = s.Record.Reason.Text
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if one.Step == nil { // the guards asked; for a step its own words did
			if err := r.asked(ctx, rem, &one); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// alertName is the name of the alert that a remediation began with.
func (r *reader) alertName(rem ledger.Remediation) string {
	if len(rem.Episodes) == 0 {
		return ""
	}
	ep, _ := r.ledger.Episode(rem.Episodes[0])
	return ep.Alert.Labels["alertname"]
}

// asked puts the words of the guards in place of those of the request: they say why.
func (r *reader) asked(ctx context.Context, rem ledger.Remediation, one *handlers.Awaiting) error {
	newest := audit.Filter{Remediation: rem.ID, Types: []audit.Type{audit.RemediationDecided}, Reverse: true, Limit: 1}
	return r.log.Scan(ctx, newest, func(s audit.Stored) error {
		var words []string
		for _, g := range s.Record.Guards {
			if g.Verdict == string(policy.AwaitApproval) && g.Text != "" {
				words = append(words, g.Text)
			}
		}
		if len(words) > 0 {
			one.Why = strings.Join(words, "; ")
		}
		return nil
	})
}

func approval(a *ledger.Approval) handlers.Approval {
	return handlers.Approval{
		PlanHash: a.Hash, Step: a.Step, Guards: a.Guards, Requested: a.Requested, Expires: a.Expires,
		Decided: a.Decided, By: a.By,
	}
}

// planText is a recorded plan in one sentence: of a whole plan its steps', of one
// step's its own.
func planText(raw json.RawMessage) string {
	var plan struct {
		Text  string `json:"text"`
		Steps []struct {
			Step int    `json:"step"`
			Uses string `json:"uses"`
			Text string `json:"text"`
		} `json:"steps"`
	}
	if json.Unmarshal(raw, &plan) != nil {
		_ = json.Unmarshal(raw, &plan.Steps) // a bare list of steps
	}
	if len(plan.Steps) == 0 {
		return plan.Text
	}
	var parts []string
	for _, s := range plan.Steps {
		parts = append(parts, fmt.Sprintf("%d. %s: %s", s.Step, s.Uses, s.Text))
	}
	return strings.Join(parts, "; ")
}

// origins as the API spells them.
var origins = map[string]string{ledger.OriginWebhook: "webhook"}

// Alerts are the open episodes with what each policy last decided.
func (r *reader) Alerts(context.Context) ([]handlers.Alert, error) {
	waiting := map[string][]handlers.Waiting{}
	for _, w := range r.engine.View().Waiting {
		waiting[w.Episode] = append(waiting[w.Episode], handlers.Waiting{Policy: w.Policy, Next: w.Next})
	}
	var out []handlers.Alert
	for _, ep := range r.ledger.Episodes(true) {
		one := handlers.Alert{
			Episode: ep.ID, Fingerprint: ep.Fingerprint, Labels: maps.Clone(map[string]string(ep.Alert.Labels)),
			StartsAt: ep.Alert.StartsAt, Origin: ep.Origin, Decided: map[string]handlers.Decided{}, Waiting: []handlers.Waiting{},
		}
		if name, ok := origins[ep.Origin]; ok {
			one.Origin = name
		}
		for name, d := range ep.Decided {
			one.Decided[name] = handlers.Decided{Verdict: d.Verdict, Code: d.Code, Mode: d.Mode, Time: d.Time, Remediation: d.Remediation}
		}
		one.Waiting = append(one.Waiting, waiting[ep.ID]...)
		out = append(out, one)
	}
	return out, nil
}

// Policies are those in force, with how each has done lately.
func (r *reader) Policies(context.Context) ([]handlers.Policy, error) {
	snap, now := r.engine.Snapshot(), time.Now()
	running := map[string]string{}
	for _, a := range r.engine.View().Active {
		running[a.Policy] = a.ID
	}
	var out []handlers.Policy
	for _, p := range snap.Policies.Policies() {
		mode := policy.Stricter(snap.Mode, p.Mode)
		out = append(out, handlers.Policy{
			Name: p.Name, Runbook: p.Runbook, Severity: p.Severity, Mode: string(mode), On: p.On, Manual: p.Manual,
			Breaker:     breaker(p.Settings.Breaker, r.ledger.View(string(mode)).Streak(p.Name), now),
			Remediation: running[p.Name],
		})
	}
	return out, nil
}

// breaker shows a streak against what the policy allows.
func breaker(limit policy.Breaker, s ledger.Streak, now time.Time) handlers.Breaker {
	b := handlers.Breaker{State: "closed", Failures: s.Failures, Last: s.Last}
	switch {
	case limit.Failures == 0:
		b.State = "none"
	case s.Failures < limit.Failures:
	case now.Before(s.Last.Add(limit.OpenFor)):
		b.State, b.Until = "open", s.Last.Add(limit.OpenFor)
	default:
		b.State = "trial"
	}
	return b
}
