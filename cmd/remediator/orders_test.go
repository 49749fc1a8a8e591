package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// fakeDaemon answers what a test says, by method and path, and notes what it was asked.
type fakeDaemon struct {
	*httptest.Server
	answers map[string]any // a *problem.Problem, a string of JSON lines, or anything for JSON

	mu    sync.Mutex
	asked []string // guarded by mu: method, path and body
}

func fake(t *testing.T, answers map[string]any) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{answers: answers}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name := r.Method + " " + r.URL.Path
	d.mu.Lock()
	d.asked = append(d.asked, strings.TrimSpace(name+" "+string(body)))
	d.mu.Unlock()
	switch a := d.answers[name].(type) {
	case nil:
		problem.New(http.StatusNotFound, "not_found", "nothing at %s", name).Write(w)
	case *problem.Problem:
		a.Write(w)
	case string:
		_, _ = io.WriteString(w, a)
	default:
		_ = json.NewEncoder(w).Encode(a)
	}
}

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

// call runs a command against the daemon.
func (d *fakeDaemon) call(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append(args, "--url", d.URL), streams{in: strings.NewReader(""), out: &out, err: &errs})
	return result{code, out.String(), errs.String()}
}

var execute = handlers.RunAnswer{
	Episode: "e-1", Remediation: "r-1", Policy: "restart", Mode: "live", Verdict: "execute", Reason: audit.Reason{Code: "allowed", Text: "no guard objects"},
	Guards: []audit.Guard{{Name: "paused", Verdict: "execute"}},
}

var refusedRun = handlers.RunAnswer{
	Episode: "e-2", Policy: "restart", Mode: "live", Verdict: "defer", Reason: audit.Reason{Code: "cooldown", Text: "docker:local/api was touched 2m ago"},
	Guards: []audit.Guard{
		{Name: "paused", Verdict: "execute"},
		{Name: "cooldown", Verdict: "defer", Code: "cooldown", Text: "docker:local/api was touched 2m ago"},
		{Name: "blast_radius", Verdict: "defer", Code: "blast_radius", Text: "4 are unhealthy"},
	},
}

func TestRun_SaysWhatCameOfIt(t *testing.T) {
	d := fake(t, map[string]any{"POST /api/v1/remediations": execute})
	got := d.call(t, "run", "restart", "--label", "service=api", "--label", "note=a=b", "--reason", "it hangs")
	require.Equal(t, exitFine, got.code, got.err)
	require.Contains(t, got.out, "execute  allowed: no guard objects")
	require.Contains(t, got.out, "remediation  r-1")
	require.NotContains(t, got.out, "paused", "guards that pass are not worth a line here")
	require.Equal(t, []string{`POST /api/v1/remediations {"policy":"restart","labels":{"note":"a=b","service":"api"},"reason":"it hangs"}`}, d.asked)

	asking := execute
	asking.Verdict, asking.Reason = "await_approval", audit.Reason{Code: "approval", Text: "a person must consent"}
	got = fake(t, map[string]any{"POST /api/v1/remediations": asking}).call(t, "run", "restart", "--reason", "why")
	require.Equal(t, exitFine, got.code)
	require.Contains(t, got.out, "remediator approve r-1 --url http://")
}

func TestRun_RefusedIsNo(t *testing.T) {
	d := fake(t, map[string]any{"POST /api/v1/remediations": problem.New(http.StatusConflict, "refused", "defer").Extend(refusedRun)})
	got := d.call(t, "run", "restart", "--reason", "why", "--wait")
	require.Equal(t, exitNo, got.code)
	require.Contains(t, got.out, "defer  cooldown: docker:local/api was touched 2m ago")
	require.Regexp(t, `(?m)^  ! cooldown +defer cooldown  docker:local/api was touched 2m ago$`, got.out)
	require.Regexp(t, `(?m)^  ! blast_radius defer blast_radius  4 are unhealthy$`, got.out)
	require.Contains(t, got.out, "nothing will start later")
	require.Empty(t, got.err)
	require.Len(t, d.asked, 1, "there is nothing to wait for")

	var answer handlers.RunAnswer
	got = d.call(t, "run", "restart", "--reason", "why", "--json")
	require.Equal(t, exitNo, got.code)
	require.NoError(t, json.Unmarshal([]byte(got.out), &answer))
	require.Equal(t, refusedRun, answer)

	got = fake(t, nil).call(t, "run", "nonsense", "--reason", "why")
	require.Equal(t, exitNo, got.code)
	require.Contains(t, got.err, "404")
	require.Empty(t, got.out)
}

func TestRun_WaitsForTheEnd(t *testing.T) {
	for outcome, code := range map[string]int{
		"succeeded": exitFine, "unverified": exitFine, "planned": exitFine, "no_action": exitFine,
		"failed": exitNo, "partial": exitNo, "escalated": exitNo, "interrupted": exitNo, "cancelled": exitNo, "expired": exitNo,
	} {
		t.Run(outcome, func(t *testing.T) {
			lines := `{"type":"step.started","time":"2026-11-23T10:00:00Z","uses":"docker.restart","target":"docker:local/api"}` + "\n" +
				fmt.Sprintf(`{"type":"remediation.closed","time":"2026-11-23T10:00:09Z","outcome":%q,"reason":{"code":"c","text":"the end of it"}}`, outcome) + "\n" +
				`{"type":"remediation.effect","effect":"effective"}` + "\n"
			d := fake(t, map[string]any{"POST /api/v1/remediations": execute, "GET /api/v1/audit": lines})
			got := d.call(t, "run", "restart", "--reason", "why", "--wait")
			require.Equal(t, code, got.code)
			require.Contains(t, got.err, "step.started")
			require.Contains(t, got.out, outcome+"  the end of it")

			got = d.call(t, "run", "restart", "--reason", "why", "--wait", "--json")
			require.Equal(t, code, got.code)
			require.Contains(t, got.out, fmt.Sprintf(`"outcome": %q`, outcome))
		})
	}
	lost := fake(t, map[string]any{"POST /api/v1/remediations": execute, "GET /api/v1/audit": `{"type":"step.started"}` + "\n"})
	got := lost.call(t, "run", "restart", "--reason", "why", "--wait")
	require.Equal(t, exitNo, got.code)
	require.Contains(t, got.err, "lost sight of r-1, which may go on")
}

func TestOrders_Usage(t *testing.T) {
	d := fake(t, nil)
	for _, args := range [][]string{
		{"run", "restart"},
		{"run", "--reason", "why"},
		{"run", "restart", "--reason", "why", "--label", "service"},
		{"run", "restart", "--reason", "why", "--label", "=x"},
		{"run", "p", "--reason", "why", "--label", "a=1", "--label", "a=2"},
		{"approve"},
		{"reject"},
		{"clear"},
		{"pause"},
		{"pause", "--reason", "r", "--for", "5m", "--until", "06:00"},
		{"pause", "--reason", "r", "--for", "soon"},
		{"pause", "--reason", "r", "--for", "0s"},
		{"pause", "--reason", "r", "--for", "-5m"},
		{"pause", "--reason", "r", "--until", "6"},
		{"pause", "--reason", "r", "--until", "2001-01-01T00:00:00Z"},
	} {
		got := d.call(t, args...)
		require.Equal(t, exitUsage, got.code, "%q: %s", args, got.err)
		require.NotEmpty(t, got.err, "%q", args)
	}
	require.Empty(t, d.asked, "nothing is sent")
}

func asking() handlers.RemediationDetail {
	plan := `{"steps":[{"step":0,"uses":"docker.restart","targets":["docker:local/api"],"text":"restart api-1","approval":true,
		"plan":{"uses":"docker.restart","targets":["docker:local/api"],"objects":[{"kind":"container","id":"abc","name":"shop-api-1"}],"text":"restart api-1"}},
		{"step":1,"uses":"docker.restart","targets":["docker:local/web"],"text":"restart web","refused":{"code":"cooldown","text":"web was touched 1m ago"}}],"hash":"whole"}`
	return handlers.RemediationDetail{
		Remediation: handlers.Remediation{ID: "r-1", State: "awaiting_approval", Policy: "restart", Mode: "live"},
		Plan:        json.RawMessage(plan), PlanHash: "ab12",
		Approval: &handlers.Approval{PlanHash: "ab12", Guards: []string{"approval"}, Requested: time.Now().Add(-time.Minute), Expires: time.Now().Add(29 * time.Minute)},
	}
}

func TestApprove_WithoutTheHashShowsWhatThereIsToApprove(t *testing.T) {
	d := fake(t, map[string]any{"GET /api/v1/remediations/r-1": asking()})
	got := d.call(t, "approve", "r-1")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.out, "plan     hash ab12")
	require.Contains(t, got.out, "0. docker.restart (needs approval)  restart api-1")
	require.Contains(t, got.out, "container abc shop-api-1")
	require.Contains(t, got.out, "1. docker.restart (skipped)  restart web")
	require.Contains(t, got.out, "! cooldown: web was touched 1m ago")
	require.Contains(t, got.out, "asked     ")
	require.Contains(t, got.err, "remediator approve r-1 --plan-hash ab12 --url "+d.URL)
	require.Contains(t, got.err, "remediator reject r-1 --reason TEXT")
	require.Equal(t, []string{"GET /api/v1/remediations/r-1"}, d.asked, "nothing is approved")

	granted := asking()
	granted.State, granted.Approval.Decided, granted.Approval.By = "running", "granted", "user:bob"
	got = fake(t, map[string]any{"GET /api/v1/remediations/r-1": granted}).call(t, "approve", "r-1")
	require.Equal(t, exitNo, got.code)
	require.Contains(t, got.err, "does not ask for consent: it is running, the last request was granted by user:bob")

	foreign := asking()
	foreign.Plan = json.RawMessage(`{"what":"a later daemon wrote"}`)
	got = fake(t, map[string]any{"GET /api/v1/remediations/r-1": foreign}).call(t, "approve", "r-1")
	require.Contains(t, got.out, `"what": "a later daemon wrote"`)
}

func TestOrders_SayWhoWantsWhat(t *testing.T) {
	done := map[string]string{"status": "ok"}
	d := fake(t, map[string]any{
		"POST /api/v1/remediations/r-1/approve": done, "POST /api/v1/remediations/r-1/reject": done, "POST /api/v1/clear": done,
		"POST /api/v1/pause": done, "POST /api/v1/resume": done,
		"GET /api/v1/status": handlers.Status{Pauses: []handlers.Pause{{PauseRequest: handlers.PauseRequest{Scope: handlers.Scope{Policy: "p"}}}}},
	})
	for _, c := range []struct {
		args      []string
		out, sent string
	}{
		{[]string{"approve", "r-1", "--plan-hash", "ab12"}, "approved r-1", `POST /api/v1/remediations/r-1/approve {"plan_hash":"ab12"}`},
		{[]string{"approve", "r-1", "--plan-hash", "ab12", "--reason", "seen"}, "approved r-1", `POST /api/v1/remediations/r-1/approve {"plan_hash":"ab12","reason":"seen"}`},
		{[]string{"reject", "r-1", "--reason", "no"}, "rejected r-1", `POST /api/v1/remediations/r-1/reject {"reason":"no"}`},
		{[]string{"reject", "r-1"}, "rejected r-1", `POST /api/v1/remediations/r-1/reject {}`},
		{[]string{"clear", "docker:local/api", "--reason", "mended"}, "cleared docker:local/api", `POST /api/v1/clear {"target":"docker:local/api","reason":"mended"}`},
		{[]string{"pause", "--reason", "move"}, "paused everything until resumed: remediator resume --url", `POST /api/v1/pause {"reason":"move"}`},
		{
			[]string{"pause", "--policy", "p", "--reason", "move", "--until", "2999-01-01T00:00:00Z"},
			"paused policy p until 2999-01-01",
			`POST /api/v1/pause {"policy":"p","reason":"move","until":"2999-01-01T00:00:00Z"}`,
		},
		{[]string{"resume", "--target", "docker:local/api", "--reason", "done"}, "resumed target docker:local/api", `POST /api/v1/resume {"target":"docker:local/api","reason":"done"}`},
	} {
		d.asked = nil
		got := d.call(t, c.args...)
		require.Equal(t, exitFine, got.code, "%q: %s", c.args, got.err)
		require.Contains(t, got.out, c.out)
		require.Equal(t, c.sent, d.asked[0])
	}
	got := d.call(t, "resume")
	require.Equal(t, "resumed the global pause; still paused: policy p\n", got.out, "the end of one pause is not that of another")
	require.Contains(t, got.err, "to lift that too: remediator resume --policy p --url")
	none := fake(t, map[string]any{"POST /api/v1/resume": done, "GET /api/v1/status": handlers.Status{}})
	got = none.call(t, "resume")
	require.Equal(t, "resumed the global pause\n", got.out)
	require.Empty(t, got.err)

	changed := problem.New(http.StatusConflict, "plan_changed", "asks for consent to plan new, not to old")
	got = fake(t, map[string]any{"POST /api/v1/remediations/r-1/approve": changed}).call(t, "approve", "r-1", "--plan-hash", "old")
	require.Equal(t, exitNo, got.code)
	require.Contains(t, got.err, "asks for consent to plan new, not to old")
	require.Contains(t, got.err, "look at it: remediator approve r-1 --url")
}

func TestPauseEnd(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 30, 0, 0, time.FixedZone("CET", 3600))
	for _, c := range []struct{ duration, until, want string }{
		{"", "", "0001-01-01T00:00:00Z"},
		{"90m", "", "2026-11-23T05:00:00+01:00"},
		{"1d", "", "2026-11-24T03:30:00+01:00"},
		{"", "06:30", "2026-11-23T06:30:00+01:00"},
		{"", "03:30", "2026-11-24T03:30:00+01:00"},
		{"", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z"},
	} {
		got, err := pauseEnd(c.duration, c.until, now)
		require.NoError(t, err)
		require.Equal(t, c.want, got.Format(time.RFC3339))
	}
}

func TestStatus_IsReadAtOneGlance(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	until := now.Add(3 * time.Hour)
	d := fake(t, map[string]any{"GET /api/v1/status": handlers.Status{
		Version: "v1", Replica: "one", Mode: "live", Started: ago(time.Hour), Ready: true,
		Config: handlers.ConfigStatus{Loaded: ago(time.Hour), LastError: "config.yaml:3:1: unknown key"},
		Pauses: []handlers.Pause{
			{PauseRequest: handlers.PauseRequest{Reason: "the rack is being moved", Until: &until}, Actor: "user:alice", Since: ago(time.Hour)},
			{PauseRequest: handlers.PauseRequest{Scope: handlers.Scope{Target: "docker:local/api"}, Reason: "deploy"}, Actor: "user:bob", Since: ago(time.Minute)},
		},
		OpenEpisodes: 2, Remediations: map[string]int{"held": 1, "running": 1, "awaiting_approval": 1},
		Active: []handlers.Active{
			{ID: "r-2", Policy: "restart", State: "held", Targets: []string{"docker:local/web"}, Since: ago(time.Hour), Text: "paused in the middle\x1b[2J"},
			{ID: "r-3", Policy: "prune", State: "running", Targets: []string{"docker:local"}, Since: ago(5 * time.Minute)},
			{ID: "r-1", Policy: "restore", State: "awaiting_approval", Since: ago(time.Minute)},
		},
		AwaitingApproval: []handlers.Awaiting{{ID: "r-1", Policy: "restore", Text: "0. command: restore it", Alert: "DiskFull", Why: "people asked to be asked", Approval: handlers.Approval{PlanHash: "ab12", Guards: []string{"approval"}, Expires: now.Add(29*time.Minute + 10*time.Second)}}},
		Quarantined:      []handlers.Quarantine{{Target: "docker:local/db", Since: ago(time.Hour), Policy: "restart", Remediation: "r-0", Text: "it failed"}},
		Upstreams: []handlers.UpstreamLine{
			{Name: "fine", State: "operational"},
			{Name: "stellar", State: "incident", Impact: "major", Since: ago(2 * time.Hour), Text: "Horizon requests fail"},
			{Name: "anchor", State: "operational", Ended: ago(8 * time.Second), Holds: now.Add(time.Minute)},
			{Name: "over", State: "operational", Ended: ago(time.Minute), Holds: ago(time.Second)},
		},
		Firing: []handlers.Firing{
			{Episode: "e-1", Alert: "ServiceDown", Policy: "api-down", Since: ago(time.Hour), Verdict: "suppress", Code: "stopped_by_person", Text: "alice stopped it\x1b"},
			{Episode: "e-2", Policy: "slow", Since: ago(time.Hour), Verdict: "defer", Code: "cooldown"},
		},
		FiringMore: 3,
		Docker:     []handlers.DockerLine{{Name: "local", Text: "connection refused"}},
	}})
	got := d.call(t, "status")
	require.Equal(t, exitFine, got.code, got.err)
	flags := " --url " + d.URL
	for _, want := range []string{
		"CONFIG", "config.yaml:3:1: unknown key",
		"PAUSED  everything, until ", "(in 3h); since", "by user:alice", "the rack is being moved", "remediator resume" + flags,
		"PAUSED  target docker:local/api, until resumed", "remediator resume --target docker:local/api" + flags,
		"HELD  r-2  restart  docker:local/web", "paused in the middle", "remediator resume-held r-2" + flags, "remediator cancel r-2 --reason TEXT" + flags,
		"AWAITING APPROVAL  r-1  restore", "(in 29m)", "0. command: restore it", "remediator approve r-1 --plan-hash ab12" + flags, "remediator reject r-1 --reason TEXT" + flags,
		"QUARANTINED  docker:local/db", "it failed", "remediator clear docker:local/db --reason TEXT" + flags,
		"UPSTREAM  stellar  incident (major)", "Horizon requests fail",
		"UPSTREAM  anchor ended " + ago(8*time.Second).Format(time.TimeOnly) + ", guards hold until " + now.Add(time.Minute).Format(time.TimeOnly) + "\n",
		"DOCKER  local cannot be looked at: nothing can be done\n    connection refused\n",
		"FIRING  api-down since ", "(1h ago) - left alone: stopped_by_person\n    ServiceDown: alice stopped it",
		"FIRING  slow since ", " - waits: cooldown\n", "3 more of these",
		"alert DiskFull\n    people asked to be asked\n    0. command",
		"running  r-3  prune", "2 open episodes; 1 awaiting approval, 1 held, 1 running",
	} {
		require.Contains(t, got.out, want)
	}
	require.NotContains(t, got.out, "fine")
	require.NotContains(t, got.out, "over ended")
	require.NotContains(t, got.out, "nothing waits for you")
	require.NotContains(t, got.out, "\x1b", "nothing from outside moves the cursor")

	d = fake(t, map[string]any{"GET /api/v1/status": handlers.Status{Mode: "dry-run", NotReady: "the store is being opened"}})
	got = d.call(t, "status")
	require.Contains(t, got.out, "nothing waits for you")
	require.Contains(t, got.out, "NOT READY: the store is being opened")
	got = d.call(t, "status", "--json")
	require.Contains(t, got.out, `"mode": "dry-run"`)
}

func TestClock_ShowsSecondsWhereTheyMatter(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 36, 45, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		20 * time.Second: "14:37:05 UTC (in 20s)", -20 * time.Second: "14:36:25 UTC (20s ago)", 20 * time.Minute: "14:56 UTC (in 20m)",
		-time.Hour: "13:36 UTC (1h ago)", 24 * time.Hour: "2026-11-24 14:36 UTC (in 1d)",
	} {
		require.Equal(t, want, clock(now.Add(d), now))
	}
}

func TestShell_LinesCanBeCopied(t *testing.T) {
	require.Equal(t, `remediator clear docker:local/api --reason 'it'\''s $(fine)'`, shell("remediator", "clear", "docker:local/api", "--reason", "it's $(fine)"))
	require.Equal(t, `''`, shell(""))
}

func TestPrintPlan_ShowsEveryGuardAndEveryStep(t *testing.T) {
	var out bytes.Buffer
	printPlan(painter{&out, false}, []engine.Planned{{
		Policy: "p", Mode: "live", Verdict: "suppress", Reason: audit.Reason{Code: "upstream_incident", Text: "stellar has an incident"},
		Guards: []audit.Guard{
			{Name: "paused", Verdict: "execute", Text: "nothing is"}, {Name: "suppress_while", Verdict: "suppress", Code: "upstream_incident", Text: "stellar has an incident"},
		},
		Plan: &engine.FullPlan{Hash: "ab12", Steps: []engine.PlanStep{
			{Step: 0, Uses: "docker.restart", Text: "restart it", Approval: true},
			{Step: 1, Uses: "docker.prune", Text: "prune it", Refused: &audit.Reason{Code: "cooldown", Text: "too soon"}},
		}},
	}})
	require.Contains(t, out.String(), "    paused         pass  nothing is\n")
	require.Contains(t, out.String(), "  ! suppress_while suppress upstream_incident  stellar has an incident\n")
	require.Contains(t, out.String(), "0. docker.restart (needs approval)  restart it\n")
	require.Contains(t, out.String(), "1. docker.prune (skipped)  prune it\n     ! cooldown: too soon\n")
}
