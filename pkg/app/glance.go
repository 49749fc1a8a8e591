package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// maxFiring alerts are listed in a status.
const maxFiring = 10

// firing are the open alerts that a policy refuses while no remediation works at
// them, oldest first, and how many more there are than are listed.
func (r *reader) firing(ctx context.Context) (list []handlers.Firing, more int, err error) {
	worked := map[string]bool{}
	for _, rem := range r.ledger.Remediations(func(rem *ledger.Remediation) bool { return rem.State != ledger.Closed }) {
		for _, id := range rem.Episodes {
			worked[id] = true
		}
	}
	var all []handlers.Firing
	times := map[handlers.Firing]time.Time{} // of the decisions
	for _, ep := range r.ledger.Episodes(true) {
		if worked[ep.ID] {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(ep.Decided)) {
			d := ep.Decided[name]
			if d.Verdict != string(policy.Suppress) && d.Verdict != string(policy.Defer) {
				continue
			}
			one := handlers.Firing{
				Episode: ep.ID, Alert: ep.Alert.Labels["alertname"], Policy: name, Since: ep.Alert.StartsAt, Verdict: d.Verdict, Code: d.Code,
			}
			times[one] = d.Time
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b handlers.Firing) int { return a.Since.Compare(b.Since) })
	list = all[:min(len(all), maxFiring)]
	for i := range list {
		if list[i].Text, err = r.decidedText(ctx, list[i], times[list[i]]); err != nil {
			return nil, 0, err
		}
	}
	return list, len(all) - len(list), nil
}

// decidedText is what the decision of that time said.
func (r *reader) decidedText(ctx context.Context, f handlers.Firing, at time.Time) (text string, err error) {
	newest := audit.Filter{
		Alert: f.Episode, Policy: f.Policy, Types: []audit.Type{audit.RemediationDecided}, Since: at.Add(-time.Millisecond), Reverse: true, Limit: 1,
	}
	err = r.log.Scan(ctx, newest, func(s audit.Stored) error {
		if s.Record.Reason != nil {
			text = s.Record.Reason.Text
		}
		return nil
	})
	return text, err
}

// unseen are the engines of which nothing that is declared can be looked at.
func unseen(snap *engine.Snapshot) []handlers.DockerLine {
	if snap.World == nil {
		return nil
	}
	lines, seen := map[string]handlers.DockerLine{}, map[string]bool{}
	for _, s := range snap.World.World().All() {
		name, _, ok := strings.Cut(strings.TrimPrefix(s.Target, "docker:"), "/")
		switch {
		case !ok || !s.Declared:
		case s.State != services.Unknown:
			seen[name] = true
		default:
			lines[name] = handlers.DockerLine{Name: name, Text: strings.TrimPrefix(s.Text, "docker "+name+" cannot be looked at: ")}
		}
	}
	maps.DeleteFunc(lines, func(name string, _ handlers.DockerLine) bool { return seen[name] })
	return slices.SortedFunc(maps.Values(lines), func(a, b handlers.DockerLine) int { return strings.Compare(a.Name, b.Name) })
}

// upstreamLines are the upstreams in short, with how long guards still hold because
// of trouble that is over.
func (r *reader) upstreamLines(snap *engine.Snapshot, now time.Time) []handlers.UpstreamLine {
	var configs map[string]policy.Upstream
	if snap.Upstreams != nil {
		configs = snap.Upstreams.Upstreams()
	}
	var out []handlers.UpstreamLine
	for _, u := range r.watched() {
		line := u.UpstreamLine
		last, _ := r.ledger.View(string(snap.Mode)).Upstream(u.Name)
		if line.State == string(upstream.Operational) {
			line.Ended, line.Holds = holds(last.Ended, configs[u.Name].ResumeAfter, now)
		}
		out = append(out, line)
	}
	return out
}

// holds gives the end of trouble and until when guards hold after it; zero times
// where they do not any more.
func holds(end time.Time, resumeAfter time.Duration, now time.Time) (ended, until time.Time) {
	if until = end.Add(resumeAfter); end.IsZero() || !until.After(now) {
		return time.Time{}, time.Time{}
	}
	return end, until
}
