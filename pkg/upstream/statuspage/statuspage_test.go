package statuspage_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/upstream"
	"github.com/stellarescrow/remediator/pkg/upstream/statuspage"
	lab "github.com/stellarescrow/remediator/test/lab/statuspage"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type object = map[string]any

func config(components ...string) upstream.Config {
	return upstream.Config{
		Name: "stellar", Components: components, MinImpact: upstream.ImpactMinor, Maintenance: true,
		Interval: 30 * time.Second, StaleAfter: 3 * time.Minute, IgnoreMonitoringAfter: time.Hour,
	}
}

// source reads what a handler serves.
func source(t *testing.T, h http.Handler, cfg upstream.Config) *statuspage.Page {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg.URL = server.URL + cfg.URL
	p, err := statuspage.New(cfg, "remediator/test")
	require.NoError(t, err)
	return p
}

func look(t *testing.T, p *statuspage.Page, now time.Time) []upstream.Event {
	t.Helper()
	a, err := p.Fetch(t.Context())
	require.NoError(t, err)
	return a.Judge(now).Events
}

// brief is kind, id, status and impact of each event.
func brief(events []upstream.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, strings.Join([]string{e.Kind, e.ID, e.Status, e.Impact}, " "))
	}
	return strings.Join(out, "; ")
}

// altered serves a scene after a change of its JSON.
func altered(t *testing.T, s lab.Scene, alter func(object)) http.Handler {
	t.Helper()
	page := lab.New(start)
	page.Show(s, start)
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v2/summary.json", http.NoBody))
	o := object{}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &o))
	alter(o)
	body, err := json.Marshal(o)
	require.NoError(t, err)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func firstOf(o object, list string) object { return o[list].([]any)[0].(object) }

func TestPage_AnIncidentFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	page := lab.New(start)
	p := source(t, page, config(lab.PublicNetwork, lab.PublicHorizon))
	require.Empty(t, look(t, p, start))
	page.Show(lab.Scene{Incident: "investigating"}, start.Add(time.Minute))
	events := look(t, p, start.Add(2*time.Minute))
	require.Equal(t, []upstream.Event{{
		ID: "inc-1", Kind: "incident", Name: "Horizon requests fail", Status: "investigating", Impact: "major",
		Began: start.Add(time.Minute), Updated: start.Add(time.Minute), Components: []string{lab.PublicHorizon}, URL: "https://stspg.io/lab",
	}}, events, "the component is told with its incident, not twice")
	page.Show(lab.Scene{Incident: "identified"}, start.Add(3*time.Minute))
	require.Equal(t, "incident inc-1 identified major", brief(look(t, p, start.Add(4*time.Minute))))
	page.Show(lab.Scene{Incident: "monitoring"}, start.Add(time.Hour))
	require.Equal(t, "incident inc-1 monitoring major", brief(look(t, p, start.Add(2*time.Hour))))
	require.Empty(t, look(t, p, start.Add(2*time.Hour+time.Second)), "longer than ignore_monitoring_after")
	require.Empty(t, look(t, p, start.Add(7*24*time.Hour)))
	_, unchanged := page.Requests()
	require.Equal(t, 2, unchanged, "a page that is unchanged is judged anew")
	page.Show(lab.Scene{Incident: "identified"}, start.Add(8*24*time.Hour))
	require.Equal(t, "incident inc-1 identified major", brief(look(t, p, start.Add(8*24*time.Hour))))
	page.Show(lab.Scene{Incident: "resolved"}, start.Add(9*24*time.Hour))
	require.Empty(t, look(t, p, start.Add(9*24*time.Hour)))
}

func TestPage_WhatCounts(t *testing.T) {
	t.Parallel()
	ours := config(lab.PublicHorizon)
	major, noMaintenance, forever := ours, ours, ours
	major.MinImpact, noMaintenance.Maintenance, forever.IgnoreMonitoringAfter = upstream.ImpactMajor, false, 0
	cases := []struct {
		name  string
		cfg   upstream.Config
		scene lab.Scene
		after time.Duration
		want  string
	}{
		{name: "another component only", cfg: ours, scene: lab.Scene{Incident: "identified", Impact: "critical", Components: []string{lab.TestHorizon}}},
		{name: "the whole page takes testnet in", cfg: config(), scene: lab.Scene{Incident: "identified", Components: []string{lab.TestHorizon}}, want: "incident inc-1 identified major"},
		{name: "an incident that names no component", cfg: ours, scene: lab.Scene{Incident: "identified", Components: []string{}}, want: "incident inc-1 identified major"},
		{name: "impact none", cfg: ours, scene: lab.Scene{Incident: "identified", Impact: "none", ComponentStatus: "operational"}},
		{name: "impact none that names no component", cfg: ours, scene: lab.Scene{Incident: "identified", Impact: "none", Components: []string{}}},
		{name: "impact none with a component that fails", cfg: ours, scene: lab.Scene{Incident: "identified", Impact: "none", ComponentStatus: "partial_outage"}, want: "component cmp-pubhorizon partial_outage major"},
		{name: "an impact nobody knows", cfg: major, scene: lab.Scene{Incident: "identified", Impact: "severe", ComponentStatus: "operational"}, want: "incident inc-1 identified critical"},
		{name: "a component status nobody knows", cfg: major, scene: lab.Scene{Incident: "identified", Impact: "none", ComponentStatus: "on_fire"}, want: "component cmp-pubhorizon on_fire critical"},
		{name: "an incident status nobody knows", cfg: ours, scene: lab.Scene{Incident: "pondering"}, want: "incident inc-1 pondering major"},
		{name: "below min_impact", cfg: major, scene: lab.Scene{Incident: "identified", Impact: "minor", ComponentStatus: "degraded_performance"}},
		{name: "its component is worse than it", cfg: major, scene: lab.Scene{Incident: "identified", Impact: "minor"}, want: "component cmp-pubhorizon major_outage critical"},
		{name: "monitoring, component still degraded", cfg: ours, after: 24 * time.Hour, scene: lab.Scene{Incident: "monitoring", ComponentStatus: "degraded_performance"}, want: "incident inc-1 monitoring major"},
		{name: "monitoring without a bound", cfg: forever, after: 240 * time.Hour, scene: lab.Scene{Incident: "monitoring"}, want: "incident inc-1 monitoring major"},
		{name: "the indicator does not bring an ignored incident back", cfg: config(), after: 2 * time.Hour, scene: lab.Scene{Incident: "monitoring"}},
		{name: "maintenance ahead", cfg: ours, scene: lab.Scene{Maintenance: "scheduled"}},
		{name: "maintenance that nobody moved, in its window", cfg: ours, after: 24*time.Hour + time.Minute, scene: lab.Scene{Maintenance: "scheduled"}, want: "maintenance mnt-1 scheduled maintenance"},
		{name: "and after its window", cfg: ours, after: 26 * time.Hour, scene: lab.Scene{Maintenance: "scheduled"}},
		{name: "maintenance in progress", cfg: ours, scene: lab.Scene{Maintenance: "in_progress"}, want: "maintenance mnt-1 in_progress maintenance"},
		{name: "maintenance verifying, past its window", cfg: ours, after: 5 * time.Hour, scene: lab.Scene{Maintenance: "verifying"}, want: "maintenance mnt-1 verifying maintenance"},
		{name: "maintenance of another component", cfg: ours, scene: lab.Scene{Maintenance: "in_progress", Components: []string{lab.TestNetwork}}},
		{name: "maintenance of the whole page", cfg: ours, scene: lab.Scene{Maintenance: "in_progress", Components: []string{}}, want: "maintenance mnt-1 in_progress maintenance"},
		{name: "maintenance that does not count", cfg: noMaintenance, scene: lab.Scene{Maintenance: "in_progress"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			page := lab.New(start)
			page.Show(c.scene, start)
			require.Equal(t, c.want, brief(look(t, source(t, page, c.cfg), start.Add(c.after))))
		})
	}
}

func TestPage_SelectsComponents(t *testing.T) {
	t.Parallel()
	cases := []struct{ selector, hit, want string }{
		{"cmp-testdocs", "cmp-testdocs", "component cmp-testdocs partial_outage major"},
		{"Test Network/Documentation", "cmp-testdocs", "component cmp-testdocs partial_outage major"},
		{"Test Network/Documentation", "cmp-pubdocs", ""},
		{"Documentation", "cmp-testdocs", "component cmp-testdocs partial_outage major"},
		{"Documentation", "cmp-pubdocs", "component cmp-pubdocs partial_outage major"},
		{"Test Network", "cmp-testdocs", "component cmp-testdocs partial_outage major"},
		{"Test Network", "cmp-pubdocs", ""},
	}
	for _, c := range cases {
		h := altered(t, lab.Scene{}, func(o object) {
			for _, item := range o["components"].([]any) {
				if item.(object)["id"] == c.hit {
					item.(object)["status"] = "partial_outage"
				}
			}
		})
		require.Equal(t, c.want, brief(look(t, source(t, h, config(c.selector)), start)), c.selector+" "+c.hit)
	}
}

func TestPage_AComponentThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	_, err := source(t, lab.New(start), config(lab.PublicHorizon, "Horizon")).Fetch(t.Context())
	require.ErrorContains(t, err, `no component "Horizon" on the page; it has: Public Network/Stellar Public Network, Public Network/SDF Public Network Horizon`)

	page := lab.New(start)
	renamed := altered(t, lab.Scene{}, func(o object) {
		for _, item := range o["components"].([]any) {
			item.(object)["name"] = "New " + item.(object)["name"].(string)
		}
	})
	var away bool
	p := source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			w.Header().Set("ETag", `"renamed"`)
			if r.Header.Get("If-None-Match") == `"renamed"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			renamed.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}), config(lab.PublicHorizon))
	require.Empty(t, look(t, p, start))
	away = true
	for range 3 {
		_, err = p.Fetch(t.Context())
		require.ErrorContains(t, err, `no component "SDF Public Network Horizon"`, "also when the page has not changed since")
	}
}

func TestPage_TheIndicatorCountsWhereNothingExplainsIt(t *testing.T) {
	t.Parallel()
	alone := altered(t, lab.Scene{}, func(o object) {
		o["status"] = object{"indicator": "major", "description": "Partial System Outage"}
	})
	require.Equal(t, "component  Partial System Outage major", brief(look(t, source(t, alone, config()), start)))
	require.Empty(t, look(t, source(t, alone, config(lab.PublicHorizon)), start))
}

func TestPage_TimesAreNotTrusted(t *testing.T) {
	t.Parallel()
	page := lab.New(start)
	page.Show(lab.Scene{Incident: "monitoring"}, start.Add(100*time.Hour))
	e := look(t, source(t, page, config(lab.PublicHorizon)), start)[0]
	require.Equal(t, []time.Time{start, start}, []time.Time{e.Began, e.Updated}, "the future is now")

	for _, value := range []any{nil, "yesterday", 17, object{}} {
		h := altered(t, lab.Scene{Incident: "monitoring"}, func(o object) {
			i := firstOf(o, "incidents")
			for _, key := range []string{"created_at", "started_at", "updated_at", "monitoring_at"} {
				i[key] = value
			}
			i["incident_updates"] = []any{}
		})
		e := look(t, source(t, h, config(lab.PublicHorizon)), start.Add(1000*time.Hour))[0]
		require.Equal(t, "monitoring", e.Status, "without a time that can be trusted it is not ignored")
		require.True(t, e.Began.IsZero())
	}
}

func TestPage_MonitoringCountsFromWhenItWasSet(t *testing.T) {
	t.Parallel()
	at := func(minutes int) string { return start.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339) }
	step := func(status string, minutes int) any { return object{"status": status, "created_at": at(minutes)} }
	cases := []struct {
		name       string
		updates    []any
		monitoring any
		updated    string
		ignored    int // minutes after start at which it no longer counts
	}{
		{"the update that set it", []any{step("monitoring", 10), step("identified", 5)}, nil, at(10), 71},
		{"a further update does not begin it anew", []any{step("monitoring", 60), step("monitoring", 10), step("identified", 5)}, nil, at(60), 71},
		{"a relapse does", []any{step("monitoring", 90), step("identified", 80), step("monitoring", 10)}, at(10), at(90), 151},
		{"monitoring_at alone", nil, at(20), at(40), 81},
		{"updated_at alone", nil, nil, at(40), 101},
		{"a time in the future is none", []any{step("monitoring", 9999)}, at(20), at(9999), 81},
	}
	for _, c := range cases {
		h := altered(t, lab.Scene{Incident: "monitoring"}, func(o object) {
			i := firstOf(o, "incidents")
			i["created_at"], i["monitoring_at"], i["updated_at"], i["incident_updates"] = at(0), c.monitoring, c.updated, c.updates
		})
		p := source(t, h, config(lab.PublicHorizon))
		require.NotEmpty(t, look(t, p, start.Add(time.Duration(c.ignored-1)*time.Minute)), c.name)
		require.Empty(t, look(t, p, start.Add(time.Duration(c.ignored)*time.Minute)), c.name)
	}
}

// many copies of the first of a list.
func many(list string, n int) func(object) {
	return func(o object) { o[list] = slices.Repeat([]any{firstOf(o, list)}, n) }
}

func TestPage_ManyIncidentsInMonitoring(t *testing.T) {
	t.Parallel()
	page := altered(t, lab.Scene{Incident: "monitoring"}, func(o object) {
		many("incidents", 1000)(o)
		many("components", 2000)(o)
	})
	require.Empty(t, look(t, source(t, page, config()), start.AddDate(0, 0, 7)), "at the limits it is looked at")
}

func TestPage_WhatIsNoGoodAnswer(t *testing.T) {
	t.Parallel()
	text := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
	}
	to := func(where string) http.Handler { return http.RedirectHandler(where, http.StatusFound) }
	fault := func(name string) http.Handler {
		page := lab.New(start)
		page.Show(lab.Scene{Fault: name}, start)
		return page
	}
	without := func(key string) http.Handler { return altered(t, lab.Scene{}, func(o object) { delete(o, key) }) }
	cases := []struct {
		name string
		page http.Handler
		want string
	}{
		{"500", fault("500"), "answered 500"},
		{"html", fault("html"), "answered a web page instead of JSON"},
		{"truncated", fault("truncated"), "its answer cannot be read"},
		{"401", fault("401"), "answered 401 Unauthorized: was the page switched off"},
		{"redirect to its login", fault("redirect"), "/access/login: was the page switched off"},
		{"redirect elsewhere", to("https://www.statuspage.io/inactive?token=hunter2"), "redirects to https://www.statuspage.io/inactive: was the page switched off"},
		{"redirect in a circle", to("/api/v2/summary.json"), "redirects more than"},
		{"404", http.NotFoundHandler(), "is it an Atlassian Statuspage?"},
		{"403", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), "answered 403"},
		{"429", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }), "longer interval"},
		{"304 without being asked", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }), "has not changed, but"},
		{"null", text("null"), "no `page`"},
		{"empty object", text("{}"), "no `page`"},
		{"a list", text("[]"), "cannot be read"},
		{"empty", text(""), "cannot be read"},
		{"two documents", text("{} {}"), "cannot be read"},
		{"no page", without("page"), "no `page`"},
		{"no components", without("components"), "no `components`"},
		{"no status", without("status"), "no `status`"},
		{"no incidents", without("incidents"), "no `incidents`"},
		{"no maintenances", without("scheduled_maintenances"), "no `scheduled_maintenances`"},
		{"a component without status", altered(t, lab.Scene{}, func(o object) { firstOf(o, "components")["status"] = nil }), "no status"},
		{"an incident without status", altered(t, lab.Scene{Incident: "identified"}, func(o object) { firstOf(o, "incidents")["status"] = "" }), "no status"},
		{"incidents twice, in another case", altered(t, lab.Scene{Incident: "identified"}, func(o object) { o["INCIDENTS"] = []any{} }), `has "incidents" twice`},
		{"components twice, with a letter that folds", altered(t, lab.Scene{}, func(o object) { o["component\u017f"] = []any{} }), "twice in one object"},
		{"status of an incident twice", altered(t, lab.Scene{Incident: "identified"}, func(o object) { firstOf(o, "incidents")["Status"] = "resolved" }), `has "status" twice`},
		{"the same key twice", text(`{"page":{"id":"x"},"incidents":[{"a":[1,{}]}],"b":{"incidents":1},"incidents":[]}`), `has "incidents" twice`},
		{"too many components", altered(t, lab.Scene{}, many("components", 2001)), "at most 2000"},
		{"too many incidents", altered(t, lab.Scene{Incident: "identified"}, many("incidents", 1001)), "at most 1000"},
		{"over the limit", text(`{"page": "` + strings.Repeat("x", 2<<20) + `"}`), "larger than 2 MiB"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := source(t, c.page, config(lab.PublicHorizon)).Fetch(t.Context())
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestPage_AnErrorIsNotAnsweredFromBefore(t *testing.T) {
	t.Parallel()
	page := lab.New(start)
	p := source(t, page, config(lab.PublicHorizon))
	require.Empty(t, look(t, p, start))
	page.Show(lab.Scene{Fault: "500"}, start)
	_, err := p.Fetch(t.Context())
	require.Error(t, err)
	page.Show(lab.Scene{Fault: "hang"}, start)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = p.Fetch(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestPage_FollowsWithinTheHost(t *testing.T) {
	t.Parallel()
	page := lab.New(start)
	page.Show(lab.Scene{Incident: "identified"}, start)
	cfg := config(lab.PublicHorizon)
	cfg.URL = "/status/" // where the page was before
	p := source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "remediator/test" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/status/") {
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/status"), http.StatusMovedPermanently)
			return
		}
		page.ServeHTTP(w, r)
	}), cfg)
	require.Len(t, look(t, p, start), 1)
}

func TestNew_RefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "status.stellar.org", "ftp://status.stellar.org", "https://bob:hunter2@status.stellar.org", "https://a b/", "https://status.stellar.org/?key=hunter2"} {
		cfg := config()
		cfg.URL = u
		_, err := statuspage.New(cfg, "")
		require.ErrorContains(t, err, `upstream "stellar": statuspage`, u)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// The page as the Tracker sees it: an indicator that flaps is one trouble.
func TestPage_AnIndicatorThatFlapsIsOneTrouble(t *testing.T) {
	t.Parallel()
	indicator := "none"
	p := source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		altered(t, lab.Scene{}, func(o object) { o["status"] = object{"indicator": indicator} }).ServeHTTP(w, r)
	}), config())
	tracker := upstream.NewTracker(config(), start, nil)
	var states []upstream.State
	for i, word := range []string{"none", "minor", "none", "minor", "none", "minor", "none", "none", "none"} {
		indicator = word
		now := start.Add(time.Duration(i) * 30 * time.Second)
		if c, changed := tracker.Report(now, upstream.Report{Events: look(t, p, now)}); changed {
			states = append(states, c.State)
		}
	}
	require.Equal(t, []upstream.State{upstream.Operational, upstream.Incident, upstream.Operational}, states)
}
