package ledger_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
)

var kinds = []audit.Type{
	audit.DaemonStarted, audit.ConfigLoaded, audit.NotificationReceived, audit.AlertFiring, audit.AlertFiring, audit.AlertResolved,
	audit.RemediationDecided, audit.RemediationDecided, audit.StepPlanned, audit.StepStarted, audit.StepStarted, audit.StepFinished,
	audit.StepSkipped, audit.RemediationVerified, audit.RemediationHeld, audit.RemediationClosed, audit.RemediationEffect,
	audit.RemediationClosed, audit.RemediationEffect, audit.ApprovalRequested, audit.ApprovalGranted, audit.ApprovalRejected,
	audit.ApprovalExpired, audit.UpstreamChanged, audit.ControlCleared,
	audit.EscalationSent, audit.ControlPaused, audit.ControlResumed, "unheard.of",
}

// anyRecord is a record whose fields need not fit together: an id belongs to one
// fingerprint, as the engine makes them, and that is all.
func anyRecord(t *rapid.T, seq uint64, now time.Time) *audit.Record {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	fp := pick("fingerprint", "a", "b")
	step := rapid.IntRange(0, 2).Draw(t, "step")
	r := &audit.Record{
		Seq: seq, Replica: "r1", Time: audit.Time{Time: now}, Type: rapid.SampledFrom(kinds).Draw(t, "type"),
		Mode: pick("mode", ledger.Live, ledger.DryRun, ""), Episode: "e-" + fp + pick("episode", "1", "2", "3"),
		Remediation: pick("remediation", "r-1", "r-2", "r-3", ""), Policy: pick("policy", "P", "Q"), Target: pick("target", "x", "y"),
		Verdict:  pick("verdict", "execute", "ignore", "await_approval"),
		Outcome:  pick("outcome", "succeeded", "unverified", "failed", "planned", "escalated", "partial", "cancelled", "expired"),
		Effect:   pick("effect", "effective", "ineffective", "unknown"),
		PlanHash: pick("hash", "h1", "h2", ""), Actor: "user:alice",
		Reason:  &audit.Reason{Code: pick("code", "allowed", "joined", "duplicate", "rejected")},
		Targets: rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "z", ""}), 0, 3).Draw(t, "targets"),
		Data: json.RawMessage(pick("data", `{}`, `null`, `[`, `{"cancelled":true}`, `{"planned":["x","y"]}`, `{"episodes":["e-a1"]}`,
			`{"shutdown":true}`, `{"quarantined":["x","z"]}`, `{"expires":"2026-03-01T10:30:00Z","begun":true}`,
			`{"upstream":"stellar","state":"incident","since":"2026-03-01T10:30:00Z"}`, `{"origin":"run","policy":"P"}`,
			`{"stops":[{"target":"x","container":"c","at":"2026-03-01T10:30:00Z"}]}`, `{"cause":"moved"}`, `{"scope":"global"}`, `{"notification":3,"cause":"webhook"}`, `{"cause":"reconciled"}`,
			`{"payload":{"alerts":[{"status":"firing","fingerprint":"a"}]}}`)),
	}
	if rapid.IntRange(0, 9).Draw(t, "has step") > 0 {
		r.Step = &step
	}
	if rapid.IntRange(0, 9).Draw(t, "has alert") > 0 {
		start := t0.Add(time.Duration(rapid.IntRange(-30, 30).Draw(t, "start")) * minute)
		r.Alert = &alert.Alert{Status: alert.Firing, Fingerprint: fp, StartsAt: start, EndsAt: start.Add(5 * minute)}
	}
	return r
}

func anyHistory(t *rapid.T) []*audit.Record {
	now := t0
	var out []*audit.Record
	for i := range rapid.IntRange(0, 80).Draw(t, "records") {
		now = now.Add(time.Duration(rapid.IntRange(-20, 120).Draw(t, "wait")) * 30 * time.Second)
		out = append(out, anyRecord(t, uint64(i+1), now))
	}
	return out
}

// answers is everything that guards ask, in one comparable value.
func answers(l *ledger.Ledger, now time.Time) map[string]any {
	out := map[string]any{
		"episodes": l.Episodes(false), "remediations": l.Remediations(nil), "pauses": l.Pauses(now),
		"unprocessed": len(l.Unprocessed()), "quarantines": l.Quarantines(), "open": l.OpenEpisodes(),
	}
	for _, mode := range []string{ledger.Live, ledger.DryRun} {
		v := l.View(mode)
		for _, tgt := range []string{"x", "y", ""} {
			last, _ := v.LastEffect(tgt, "r-1")
			won, _ := v.LastSuccess("P", tgt, "r-2")
			q, _ := v.Quarantined(tgt)
			out[mode+tgt] = []any{last, won, q, v.Effects(tgt, "", t0), v.Effects(tgt, "r-3", time.Time{}), oursAt(v, tgt)}
		}
		for _, ep := range []string{"e-a1", "e-a2", "e-b3"} {
			f, _ := v.Final("P", ep)
			out[mode+ep] = []any{v.Attempts("P", ep, ""), v.Attempts("Q", ep, "r-1"), f, v.ExpiredPlan("P", ep, "h1"), v.ExpiredPlan("Q", ep, "")}
		}
		up, _ := v.Upstream("stellar")
		first, _ := v.FiringWhere("e-a1", anyLabels)
		out[mode] = []any{
			v.Streak("P"), v.Streak("Q"), v.Openings("a"), v.Openings("b"), up, first,
			v.PersonStopped(ledger.StopSeen{Target: "x", Container: "c", At: at(30 * minute)}),
		}
	}
	return out
}

// oursAt asks at many times.
func oursAt(v ledger.View, tgt string) (out []bool) {
	for i := range 100 {
		out = append(out, v.Ours(tgt, at(time.Duration(i)*minute), 10*time.Second, ""))
	}
	return out
}

func TestLedger_AnyHistoryIsSafeAndDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		recs := anyHistory(t)
		a := ledger.New()
		for _, r := range recs {
			a.Apply([]*audit.Record{r})
			open := map[string]int{}
			for _, e := range a.Episodes(true) {
				open[e.Fingerprint]++
				latest, ok := a.Latest(e.Fingerprint)
				require.True(t, ok)
				require.Equal(t, e.ID, latest.ID, "the open episode is the latest")
			}
			for fp, n := range open {
				require.Equal(t, 1, n, "open episodes of %s", fp)
			}
		}
		now := t0.Add(24 * time.Hour)
		b := ledger.New()
		b.Apply(recs)
		require.Equal(t, answers(a, now), answers(b, now), "one by one or at once")
		b.Apply(recs[rapid.IntRange(0, len(recs)).Draw(t, "tail"):])
		require.Equal(t, answers(a, now), answers(b, now), "a tail given twice")
		c := ledger.New()
		k := rapid.IntRange(0, len(recs)).Draw(t, "prefix")
		c.Apply(recs[:k])
		c.Apply(recs[:k])
		c.Apply(recs)
		require.Equal(t, answers(a, now), answers(c, now), "a prefix given twice")
	})
}

// What is kept up to date answers as a walk over everything does.
func TestView_AnswersEqualAScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledger.New()
		l.Apply(anyHistory(t))
		v := l.View(ledger.Live)

		var first ledger.Episode
		open := l.Episodes(true)
		for _, e := range open {
			if e.Origin == ledger.OriginRun {
				continue
			}
			if first.ID == "" || e.Alert.StartsAt.Before(first.Alert.StartsAt) ||
				e.Alert.StartsAt.Equal(first.Alert.StartsAt) && e.ID < first.ID {
				first = e
			}
		}
		got, ok := v.FiringWhere("", anyLabels)
		require.Equal(t, first.ID != "", ok)
		require.Equal(t, first, got)
		n := 0
		for _, e := range l.Episodes(false) {
			if e.Open {
				n++
			}
		}
		require.Len(t, open, n)
		require.Equal(t, n, l.OpenEpisodes())

		moment := t0.Add(time.Duration(rapid.IntRange(-10, 2400).Draw(t, "moment")) * 30 * time.Second)
		for _, tgt := range []string{"x", "y", "z"} {
			require.Equal(t, scanOurs(l, tgt, moment, minute), v.Ours(tgt, moment, minute, ""), tgt)
		}
		requireStreaks(t, l)
	})
}

func scanOurs(l *ledger.Ledger, tgt string, moment time.Time, slack time.Duration) bool {
	for _, r := range l.Remediations(func(r *ledger.Remediation) bool { return r.Mode != ledger.DryRun }) {
		for _, in := range r.Intents {
			end := in.Finished
			if in.Lost || end.IsZero() && r.State == ledger.Closed {
				end = in.Started.Add(45 * time.Second) // nobody saw its result
			}
			under := end.IsZero() || !moment.After(end.Add(slack))
			if !in.Cancelled && slices.Contains(in.Targets, tgt) && under && !moment.Before(in.Started.Add(-time.Second)) {
				return true
			}
		}
	}
	return false
}

func requireStreaks(t *rapid.T, l *ledger.Ledger) {
	for _, p := range []string{"P", "Q"} {
		s := l.View(ledger.Live).Streak(p)
		if s.Failures > 0 {
			require.False(t, s.Last.IsZero(), "a failure has a time")
		}
		if s.Pending == "" {
			continue
		}
		r, ok := l.Remediation(s.Pending)
		require.True(t, ok)
		require.Equal(t, p, r.Policy)
		require.Equal(t, ledger.Closed, r.State)
		require.NotEqual(t, ledger.DryRun, r.Mode)
		require.Empty(t, r.Effect)
		require.True(t, r.HadEffect())
		require.False(t, r.OpenedAt.Before(s.Last), "opened after the newest failure")
	}
}

// The index by target and time answers as a walk over the remediations does.
func TestView_EffectsEqualAScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledger.New()
		l.Apply(anyHistory(t))
		since := t0.Add(time.Duration(rapid.IntRange(-10, 120).Draw(t, "since")) * minute)
		for _, tgt := range []string{"x", "y", ""} {
			want := 0
			for _, r := range l.Remediations(nil) {
				var last time.Time
				for _, in := range r.Intents {
					end := in.Started
					if !in.Finished.IsZero() {
						end = in.Finished
					}
					if !in.Cancelled && (tgt == "" || slices.Contains(in.Targets, tgt)) && end.After(last) {
						last = end
					}
				}
				if last.After(since) {
					want++
				}
			}
			require.Len(t, l.View(ledger.Live).Effects(tgt, "", since), want, "target %q", tgt)
		}
	})
}
