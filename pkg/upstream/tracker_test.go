package upstream_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

var (
	start   = time.Date(2026, 3, 1, 2, 10, 0, 0, time.UTC)
	errPage = errors.New("answered 500 Internal Server Error")
)

func config() upstream.Config {
	return upstream.Config{
		Name: "stellar", URL: "https://status.stellar.org", Interval: 30 * time.Second, StaleAfter: 3 * time.Minute,
		ResumeAfter: 10 * time.Minute,
	}
}

func incident(status, impact string) upstream.Event {
	return upstream.Event{ID: "inc-1", Kind: upstream.KindIncident, Name: "Horizon degraded", Status: status, Impact: impact, Began: start.Add(-time.Hour), URL: "https://stspg.io/lab"}
}

func report(events ...upstream.Event) upstream.Report { return upstream.Report{Events: events} }

// feed is one thing that happens to a tracker, and what comes of it ("": nothing).
type feed struct {
	at   time.Duration
	what any // upstream.Report, error, or nil for a tick
	want string
}

func apply(t *upstream.Tracker, now time.Time, what any) (upstream.Change, bool) {
	switch what := what.(type) {
	case upstream.Report:
		return t.Report(now, what)
	case error:
		return t.Failed(now, what)
	default:
		return t.Tick(now)
	}
}

// told is a change in short: before>state impact since [after].
func told(c upstream.Change) string {
	out := string(c.Before) + ">" + string(c.State)
	if c.Impact != "" {
		out += " " + c.Impact
	}
	out += " " + c.Since.Sub(start).String()
	if c.AfterIncident {
		out += " after"
	}
	return out
}

func TestTracker_FromStateToState(t *testing.T) {
	t.Parallel()
	bad, worse, watched := report(incident("identified", "major")), report(incident("identified", "critical")), report(incident("monitoring", "major"))
	work := report(upstream.Event{ID: "m", Kind: upstream.KindMaintenance, Name: "vote", Status: "in_progress", Impact: upstream.ImpactMaintenance})
	good := report()
	seeded := func(s upstream.State, after bool) *upstream.Change {
		c := upstream.Change{Upstream: "stellar", State: s, Since: start.Add(-2 * time.Hour), AfterIncident: after}
		if s == upstream.Incident || after && s == upstream.Unknown {
			c.Impact, c.Events = "major", []upstream.Event{incident("identified", "major")}
		}
		return &c
	}
	s, m := time.Second, time.Minute
	cases := []struct {
		name  string
		seed  *upstream.Change
		feeds []feed
	}{
		{"a first good answer is believed", nil, []feed{{0, good, ">operational 0s"}, {30 * s, good, ""}}},
		{"a first trouble is believed, as old as the page says", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {30 * s, bad, ""}}},
		{"two good answers end it", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {2 * m, good, "incident>operational 2m0s after"}, {3 * m, good, ""}}},
		{"a page that flaps stays in trouble", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {2 * m, bad, ""}, {3 * m, good, ""}, {4 * m, bad, ""}, {5 * m, good, ""}, {6 * m, good, "incident>operational 6m0s after"}}},
		{"an error between them does not start anew", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {2 * m, errPage, ""}, {3 * m, good, "incident>operational 3m0s after"}}},
		{"a page that fails at every other look gets well", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {30 * s, errPage, ""}, {m, good, ""}, {m + 30*s, errPage, ""}, {2 * m, good, "incident>operational 2m0s after"}}},
		{"errors between looks within a moment", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {m + s, errPage, ""}, {m + 2*s, good, ""}, {m + 3*s, errPage, ""}, {2 * m, good, "incident>operational 2m0s after"}}},
		{"two that are further apart than stale_after are not two", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {4*m - 1, errPage, ""}, {4 * m, good, ""}, {5 * m, good, "incident>operational 5m0s after"}}},
		{"trouble between them starts anew, an error beside it or not", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {m + 30*s, errPage, ""}, {2 * m, bad, ""}, {2*m + 30*s, errPage, ""}, {3 * m, good, ""}, {4 * m, good, "incident>operational 4m0s after"}}},
		{"two looks within a moment are one", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {m + s, good, ""}, {m + 15*s, good, "incident>operational 1m15s after"}}},
		{"the record says which incident", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, worse, "incident>incident critical -1h0m0s"}, {2 * m, watched, "incident>incident major -1h0m0s"}, {3 * m, work, "incident>maintenance maintenance -1h0m0s"}, {4 * m, work, ""}}},
		{"no answer is unknown", nil, []feed{{0, good, ">operational 0s"}, {m, errPage, ""}, {3*m - 1, nil, ""}, {3 * m, nil, "operational>unknown 3m0s"}, {4 * m, errPage, ""}, {5 * m, good, "unknown>operational 5m0s"}}},
		{"no first answer is unknown", nil, []feed{{m, errPage, ""}, {3 * m, errPage, ">unknown 3m0s"}, {4 * m, good, "unknown>operational 4m0s"}}},
		{"unknown hides trouble and does not end it", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {3 * m, nil, "incident>unknown major 3m0s after"}, {4 * m, bad, "unknown>incident major -1h0m0s"}, {8 * m, errPage, "incident>unknown major 8m0s after"}, {9 * m, good, ""}, {10 * m, good, "unknown>operational 10m0s after"}}},
		{"unknown after one good answer is still after trouble", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {4 * m, nil, "incident>unknown major 4m0s after"}, {5 * m, good, ""}, {6 * m, errPage, ""}, {7 * m, good, "unknown>operational 7m0s after"}}},
		{"unknown, two good answers too far apart", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {3 * m, nil, "incident>unknown major 3m0s after"}, {5 * m, good, ""}, {8 * m, good, ""}, {9 * m, good, "unknown>operational 9m0s after"}}},
		{"trouble found out of unknown", nil, []feed{{3 * m, nil, ">unknown 3m0s"}, {4 * m, bad, "unknown>incident major -1h0m0s"}}},
		{"a page that goes away after trouble does not cut resume_after", nil, []feed{{0, bad, ">incident major -1h0m0s"}, {m, good, ""}, {2 * m, good, "incident>operational 2m0s after"}, {5 * m, nil, "operational>unknown 5m0s"}, {6 * m, good, "unknown>operational 2m0s after"}, {9 * m, nil, "operational>unknown 9m0s"}, {20 * m, good, "unknown>operational 20m0s"}}},
		{"seed operational", seeded(upstream.Operational, false), []feed{{0, good, ""}, {m, bad, "operational>incident major -1h0m0s"}}},
		{"seed operational, no answer", seeded(upstream.Operational, false), []feed{{3 * m, nil, "operational>unknown 3m0s"}}},
		{"seed in trouble, the same", seeded(upstream.Incident, false), []feed{{0, bad, ""}, {m, watched, "incident>incident major -2h0m0s"}}},
		{"seed in trouble needs two", seeded(upstream.Incident, false), []feed{{0, good, ""}, {m, good, "incident>operational 1m0s after"}}},
		{"seed in trouble, no answer", seeded(upstream.Incident, false), []feed{{3 * m, nil, "incident>unknown major 3m0s after"}}},
		{"seed unknown", seeded(upstream.Unknown, false), []feed{{0, nil, ""}, {9 * m, nil, ""}, {10 * m, good, "unknown>operational 10m0s"}}},
		{"seed unknown after trouble needs two", seeded(upstream.Unknown, true), []feed{{0, good, ""}, {m, good, "unknown>operational 1m0s after"}}},
		{"seed unknown after trouble keeps its beginning", seeded(upstream.Unknown, true), []feed{{0, bad, "unknown>incident major -2h0m0s"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tracker := upstream.NewTracker(config(), start, c.seed)
			for i, f := range c.feeds {
				got, changed := apply(tracker, start.Add(f.at), f.what)
				if f.want == "" {
					require.False(t, changed, "feed %d: %s", i, told(got))
					continue
				}
				require.True(t, changed, "feed %d", i)
				require.Equal(t, f.want, told(got), "feed %d", i)
				require.Equal(t, got, tracker.Current())
				require.Equal(t, "stellar", got.Upstream)
			}
		})
	}
}

// When trouble was over is known whatever the page does after, also behind a restart.
func TestTracker_KeepsWhenTroubleEnded(t *testing.T) {
	t.Parallel()
	bad, good, m := report(incident("identified", "major")), report(), time.Minute
	for name, restarts := range map[string]bool{"one run": false, "started anew after each": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracker := upstream.NewTracker(config(), start, nil)
			for i, f := range []struct {
				at    time.Duration
				what  any
				state upstream.State
				ended time.Duration // zero: no end is known
			}{
				{0, good, upstream.Operational, 0},
				{m, bad, upstream.Incident, 0},
				{2 * m, good, upstream.Incident, 0},
				{2*m + 20*time.Second, good, upstream.Operational, 2*m + 20*time.Second},
				{6 * m, nil, upstream.Unknown, 2*m + 20*time.Second},
				{7 * m, errPage, upstream.Unknown, 2*m + 20*time.Second},
				{8 * m, good, upstream.Operational, 2*m + 20*time.Second},
				{12 * m, nil, upstream.Unknown, 2*m + 20*time.Second},
				{time.Hour, good, upstream.Operational, 2*m + 20*time.Second},
				{61 * m, bad, upstream.Incident, 0},
				{65 * m, nil, upstream.Unknown, 0},
			} {
				now := start.Add(f.at)
				apply(tracker, now, f.what)
				c := tracker.Current()
				require.Equal(t, f.state, c.State, "feed %d", i)
				if f.ended == 0 {
					require.Zero(t, c.Ended, "feed %d", i)
				} else {
					require.True(t, c.Ended.Equal(start.Add(f.ended)), "feed %d: %s", i, c.Ended)
				}
				// A restart between the two answers that end trouble would start their row anew.
				if restarts && i != 2 && f.what != nil {
					body, err := json.Marshal(c)
					require.NoError(t, err)
					var seed upstream.Change
					require.NoError(t, json.Unmarshal(body, &seed))
					tracker = upstream.NewTracker(config(), now, &seed)
				}
			}
		})
	}
	seed := upstream.Change{State: upstream.Unknown, Since: start, Ended: start.Add(time.Hour)}
	require.Equal(t, start, upstream.NewTracker(config(), start, &seed).Current().Ended, "never in the future")
	seed = upstream.Change{State: upstream.Operational, AfterIncident: true, Since: start.Add(-m)}
	tracker := upstream.NewTracker(config(), start, &seed)
	c, _ := tracker.Tick(start.Add(3 * m))
	require.Equal(t, start.Add(-m), c.Ended, "recorded without it")
}

func TestTracker_SaysItInASentence(t *testing.T) {
	t.Parallel()
	say := func(seed *upstream.Change, feeds ...feed) string {
		tracker := upstream.NewTracker(config(), start, seed)
		for _, f := range feeds {
			apply(tracker, start.Add(f.at), f.what)
		}
		return tracker.Current().Text
	}
	bad := report(incident("identified", "major"))
	component := upstream.Event{ID: "c", Kind: upstream.KindComponent, Name: "Horizon", Status: "partial_outage", Impact: "major"}
	require.Equal(t, `Stellar reports "Horizon degraded" (major, identified) since 01:10Z: https://stspg.io/lab`, say(nil, feed{0, bad, ""}))
	require.Equal(t, `Stellar reports "Horizon degraded" (major, identified) since 2026-03-01 01:10Z and 1 more: https://stspg.io/lab`,
		say(nil, feed{24 * time.Hour, report(component, incident("identified", "major")), ""}), "the incident first")
	require.Equal(t, `Stellar reports that "Horizon" is in partial_outage (major) since 02:10Z`, say(nil, feed{0, report(component), ""}))
	require.Equal(t, `Stellar reports maintenance "vote" (in_progress) since 02:10Z`,
		say(nil, feed{0, report(upstream.Event{Kind: upstream.KindMaintenance, Name: "vote", Status: "in_progress", Impact: "maintenance"}), ""}))
	require.Equal(t, "the status page of stellar reports no trouble", say(nil, feed{0, report(), ""}))
	require.Equal(t, "Stellar reports no trouble any more; it began at 01:10Z", say(nil, feed{0, bad, ""}, feed{time.Minute, report(), ""}, feed{2 * time.Minute, report(), ""}))
	require.Equal(t, "the status page of stellar has given no good answer since 02:10Z (answered 500 Internal Server Error): its state is unknown",
		say(nil, feed{0, report(), ""}, feed{3 * time.Minute, errPage, ""}))
	require.Equal(t, `the status page of stellar has given no good answer since 02:10Z; it last reported "Horizon degraded" (major, identified) since 01:10Z, and that is not known to be over`,
		say(nil, feed{0, bad, ""}, feed{3 * time.Minute, nil, ""}))
	require.Contains(t, say(nil, feed{3 * time.Minute, errors.New("a\nb " + strings.Repeat("x", 1000)), ""}), "(a b xxx")
	require.Less(t, len(say(nil, feed{3 * time.Minute, errors.New(strings.Repeat("x", 1000)), ""})), 450)
}

func TestTracker_RecordsTheWorstOfMany(t *testing.T) {
	t.Parallel()
	var events []upstream.Event
	for range 100 {
		events = append(events, incident("identified", "minor"))
	}
	events = append(events, incident("identified", "critical"))
	c, _ := upstream.NewTracker(config(), start, nil).Report(start, report(events...))
	require.Len(t, c.Events, 20)
	require.Equal(t, "critical", c.Events[0].Impact)
	require.Equal(t, "critical", c.Impact)
}

// What must hold after any history, also one that a restart cuts in two.
func TestTracker_Property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := config()
		now := start
		tracker := upstream.NewTracker(cfg, now, nil)
		var last upstream.Change
		var goodAt []time.Time // good answers without trouble since trouble
		trouble, begun := false, start
		lastGood, over := time.Time{}, time.Time{} // over: when trouble ended, if it did
		for range rapid.IntRange(1, 60).Draw(rt, "feeds") {
			now = now.Add(time.Duration(rapid.IntRange(0, 240).Draw(rt, "seconds")) * time.Second)
			var c upstream.Change
			var changed bool
			reported := false
			switch kind := rapid.SampledFrom([]string{"good", "good", "bad", "error", "tick", "restart"}).Draw(rt, "feed"); kind {
			case "good":
				c, changed = tracker.Report(now, report())
				goodAt, lastGood = append(goodAt, now), now
			case "bad":
				e := incident(rapid.SampledFrom([]string{"identified", "monitoring"}).Draw(rt, "status"), rapid.SampledFrom([]string{"minor", "major"}).Draw(rt, "impact"))
				e.Began = now.Add(time.Duration(rapid.IntRange(-600, 600).Draw(rt, "began")) * time.Second)
				c, changed = tracker.Report(now, report(e))
				trouble, reported, goodAt, lastGood = true, true, nil, now
			case "error":
				c, changed = tracker.Failed(now, errPage)
			case "tick":
				c, changed = tracker.Tick(now)
			case "restart":
				body, err := json.Marshal(last)
				require.NoError(rt, err)
				var seed upstream.Change
				require.NoError(rt, json.Unmarshal(body, &seed))
				tracker = upstream.NewTracker(cfg, now, &seed)
				begun, lastGood, goodAt = now, time.Time{}, nil
				require.Equal(rt, last.State, tracker.Current().State)
			}
			state := tracker.Current().State
			if state == upstream.Operational && trouble {
				over = now
			}
			if changed {
				require.Equal(rt, last.State, c.Before)
				require.NotEmpty(rt, c.Text)
				require.False(rt, c.Since.After(now), "Since in the future")
				require.False(rt, c.Since.IsZero())
				if c.State.Bad() && last.State.Bad() {
					require.True(rt, last.Since.Equal(c.Since), "Since is kept while trouble lasts")
				}
				if c.State.Bad() || c.AfterIncident && c.State == upstream.Unknown {
					require.Zero(rt, c.Ended, "it lasts")
				} else {
					require.True(rt, c.Ended.Equal(over), "%s, not %s", c.Ended, over)
				}
				if c.State == upstream.Unknown {
					require.Equal(rt, trouble, c.AfterIncident)
				}
				last = c
			}
			if reported {
				over = time.Time{}
				require.True(rt, state.Bad(), "trouble is believed at once")
			}
			if state == upstream.Operational && trouble {
				require.True(rt, changed && c.AfterIncident, "the end of trouble is told as such")
				require.True(rt, slices.ContainsFunc(goodAt, func(at time.Time) bool {
					return now.Sub(at) >= cfg.Interval/2 && now.Sub(at) < cfg.StaleAfter
				}), "trouble was ended by one answer")
				trouble = false
			}
			from := begun
			if !lastGood.IsZero() {
				from = lastGood
			}
			if at := tracker.StaleAt(); state != upstream.Unknown {
				require.True(rt, at.Equal(from.Add(cfg.StaleAfter)))
			}
		}
		tracker.Tick(now.Add(cfg.StaleAfter))
		require.Equal(rt, upstream.Unknown, tracker.Current().State, "silence is unknown")
	})
}
