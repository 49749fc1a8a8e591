package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// operator posts as one.
func operator(t *testing.T, s *served, path, body string) answer {
	t.Helper()
	return call{method: "POST", path: path, body: body, token: "token-of-operator"}.do(t, s.url("http"))
}

const runs = "/api/v1/remediations"

func TestRun_StartedIs201(t *testing.T) {
	for name, c := range map[string]handlers.RunAnswer{
		"execute":        {Verdict: "execute", Reason: audit.Reason{Code: "allowed"}},
		"await approval": {Verdict: "await_approval", Reason: audit.Reason{Code: "approval"}},
		"joined":         {Verdict: "ignore", Reason: audit.Reason{Code: "joined"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Episode, c.Remediation, c.Policy, c.Mode = "e-1", "r-1", "p", "live"
			d := &daemon{run: func(handlers.RunRequest) (*handlers.RunAnswer, error) { return &c, nil }}
			a := operator(t, serve(t, d, threeTokens(t)), runs, `{"policy":"p","labels":{"service":"api"},"reason":"it hangs"}`)
			require.Equal(t, 201, a.StatusCode, "%s", a.body)
			require.Equal(t, "/api/v1/remediations/r-1", a.Header.Get("Location"))
			require.JSONEq(t, fmt.Sprintf(`{"episode":"e-1","remediation":"r-1","policy":"p","mode":"live","verdict":%q,"reason":{"code":%q,"text":""},"guards":[]}`,
				c.Verdict, c.Reason.Code), string(a.body))
			require.Equal(t, []string{"run p map[service:api] by user:the-operator: it hangs"}, d.noted())
		})
	}
}

func TestRun_RefusedIs409WithWhatTheGuardsSaid(t *testing.T) {
	for name, c := range map[string]handlers.RunAnswer{
		"suppressed":                     {Verdict: "suppress", Reason: audit.Reason{Code: "paused", Text: "paused by alice"}},
		"deferred":                       {Verdict: "defer", Reason: audit.Reason{Code: "cooldown", Text: "too soon"}},
		"a duplicate names the other":    {Verdict: "ignore", Reason: audit.Reason{Code: "duplicate", Text: "under way"}, Remediation: "r-0"},
		"executed without a remediation": {Verdict: "execute", Reason: audit.Reason{Code: "allowed", Text: "but nothing came of it"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Episode, c.Policy, c.Mode = "e-1", "p", "live"
			c.Guards = []audit.Guard{{Name: "some", Verdict: c.Verdict, Code: c.Reason.Code, Text: c.Reason.Text}}
			d := &daemon{run: func(handlers.RunRequest) (*handlers.RunAnswer, error) { return &c, nil }}
			a := operator(t, serve(t, d, threeTokens(t)), runs, `{"policy":"p","reason":"why"}`)
			require.Equal(t, 409, a.StatusCode)
			require.Equal(t, "refused", a.problem.Code)
			require.Contains(t, a.problem.Detail, c.Reason.Code+": "+c.Reason.Text)
			var got handlers.RunAnswer
			require.NoError(t, json.Unmarshal(a.body, &got))
			require.Equal(t, c, got)
		})
	}
}

// A mistyped order must not become a wider one.
func TestOrders_BodiesAreStrict(t *testing.T) {
	d := &daemon{}
	s := serve(t, d, threeTokens(t))
	for path, bodies := range map[string][]string{
		runs: {
			``, `{}`, `null`, `[]`, `{"policy":"p"}`, `{"policy":"p","reason":" "}`, `{"reason":"why"}`, `{"policy":"p","reason":"why","label":{}}`,
			`{"policy":"p","reason":"why","labels":["a"]}`, `{"policy":"p","reason":"why","labels":{"":"x"}}`, `{"policy":"p","reason":"why"}{}`,
		},
		"/api/v1/remediations/r-1/approve": {``, `{}`, `{"plan_hash":""}`, `{"reason":"yes"}`, `{"plan_hash":"ab","hash":"ab"}`, `{"plan_hash":7}`, `{"plan_hash":"ab"} x`},
		"/api/v1/remediations/r-1/reject":  {`{"why":"no"}`, `{"reason":"no"}{}`, `"no"`},
		"/api/v1/clear":                    {``, `{}`, `{"reason":"why"}`, `{"targets":["docker:local/api"]}`, `{"target":"docker:local/api","force":true}`},
		"/api/v1/resume":                   {`{"polciy":"p"}`, `null`, `{"policy":null}`, `{"target":""}`, `{"policy":"p","policy":"q"}`},
		"/api/v1/pause": {
			`null`, `[]`, `"p"`, `{"policy":null}`, `{"target":null}`, `{"policy":""}`, `{"target":"","reason":"why"}`, `{"policy":"p","target":""}`,
			`{"until":null}`, `{"reason":null}`, `{"policy":"p","policy":"q"}`, `{"POLICY":"p"}`, `{"reaſon":"p"}`, `{} {}`,
		},
		"/api/v1/remediations/r-1/cancel": {`null`, `{"reason":null}`},
	} {
		for _, body := range bodies {
			a := operator(t, s, path, body)
			require.Equal(t, 400, a.StatusCode, "%s %s", path, body)
		}
		require.Equal(t, 413, operator(t, s, path, `{"reason":"`+strings.Repeat("x", 64<<10-10)).StatusCode, "one byte too many: what is left unread may reset the connection")
		form := call{method: "POST", path: path, body: `reason=x`, contentType: "application/x-www-form-urlencoded", token: "token-of-operator"}
		require.Equal(t, 415, form.do(t, s.url("http")).StatusCode)
	}
	for _, path := range []string{"/api/v1/remediations/R_1/approve", "/api/v1/remediations/R_1/reject"} {
		require.Equal(t, 404, operator(t, s, path, `{"plan_hash":"ab"}`).StatusCode)
	}
	require.Empty(t, d.noted())
}

// A reason is recorded: it is bounded wherever one is taken.
func TestOrders_ReasonIsBounded(t *testing.T) {
	d := &daemon{}
	s := serve(t, d, threeTokens(t))
	for path, rest := range map[string]string{
		runs: `"policy":"p",`, "/api/v1/remediations/r-1/approve": `"plan_hash":"ab",`, "/api/v1/remediations/r-1/reject": ``,
		"/api/v1/remediations/r-1/cancel": ``, "/api/v1/clear": `"target":"docker:local/api",`, "/api/v1/pause": ``, "/api/v1/resume": ``,
	} {
		a := operator(t, s, path, `{`+rest+`"reason":"`+strings.Repeat("é", 1001)+`"}`)
		require.Equal(t, 400, a.StatusCode, path)
		require.Equal(t, "reason has 1001 characters, at most 1000", a.problem.Detail)
	}
	require.Empty(t, d.noted())
}

// Everything is paused only where nothing is named.
func TestPause_SaysWhatItWants(t *testing.T) {
	d := &daemon{}
	s := serve(t, d, threeTokens(t))
	for body, want := range map[string]string{
		`{"policy":null}`:            "policy is empty: name a policy or a target, or leave both out",
		`{"policy":"","reason":"x"}`: "policy is empty: name a policy or a target, or leave both out",
		`{"target":""}`:              "target is empty: name a policy or a target, or leave both out",
		`null`:                       "no JSON object",
	} {
		a := operator(t, s, "/api/v1/pause", body)
		require.Equal(t, 400, a.StatusCode, body)
		require.Contains(t, a.problem.Detail, want)
	}
	require.Empty(t, d.noted())
	long := strings.Repeat("é", 1000)
	for _, body := range []string{``, `{}`, `{"reason":"` + long + `"}`} {
		require.Equal(t, 200, operator(t, s, "/api/v1/pause", body).StatusCode, body)
	}
	everything := "pause by user:the-operator policy= target= reason="
	require.Equal(t, []string{everything, everything, everything + long}, d.noted())
}

func TestOrders_NameWhoGaveThem(t *testing.T) {
	d := &daemon{}
	s := serve(t, d, threeTokens(t))
	for path, body := range map[string]string{
		"/api/v1/remediations/r-1/approve": `{"plan_hash":"ab12","reason":"seen"}`,
		"/api/v1/remediations/r-1/reject":  `{"reason":"not now"}`,
		"/api/v1/clear":                    `{"target":"docker:local/api","reason":"mended"}`,
		"/api/v1/resume":                   `{"policy":"p","reason":"done"}`,
	} {
		a := operator(t, s, path, body)
		require.Equal(t, 200, a.StatusCode, "%s", a.body)
		require.JSONEq(t, `{"status":"ok"}`, string(a.body))
	}
	require.Equal(t, 200, operator(t, s, "/api/v1/remediations/r-1/reject", "").StatusCode, "to refuse needs no reason")
	require.ElementsMatch(t, []string{
		"approve r-1 ab12 by user:the-operator: seen", "reject r-1 by user:the-operator: not now", "reject r-1 by user:the-operator: ",
		"clear docker:local/api by user:the-operator: mended", "resume by user:the-operator policy=p target= reason=done",
	}, d.noted())
}

func TestOrders_Refusals(t *testing.T) {
	d := &daemon{
		approve: func(id, given string) error {
			if given == "old" {
				return fmt.Errorf("approve: %w", &handlers.PlanChangedError{ID: id, Asked: "new", Given: given})
			}
			return fmt.Errorf("%s is running: %w", id, handlers.ErrConflict)
		},
		reject: func(id string) error { return fmt.Errorf("remediation %s: %w", id, handlers.ErrNotFound) },
		clear:  func(target string) error { return fmt.Errorf("target %q: %w", target, handlers.ErrNotFound) },
		run:    func(handlers.RunRequest) (*handlers.RunAnswer, error) { return nil, audit.ErrUnavailable },
	}
	s := serve(t, d, threeTokens(t))
	a := operator(t, s, "/api/v1/remediations/r-1/approve", `{"plan_hash":"old"}`)
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "plan_changed", a.problem.Code)
	require.Contains(t, a.problem.Detail, "plan new, not to old")
	var asked, given string
	require.True(t, a.problem.Extension("plan_hash", &asked) && a.problem.Extension("given", &given))
	require.Equal(t, []string{"new", "old"}, []string{asked, given})

	a = operator(t, s, "/api/v1/remediations/r-1/approve", `{"plan_hash":"new"}`)
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "conflict", a.problem.Code)
	require.Equal(t, 404, operator(t, s, "/api/v1/remediations/r-1/reject", `{}`).StatusCode)
	require.Equal(t, 404, operator(t, s, "/api/v1/clear", `{"target":"docker:local/api"}`).StatusCode)
	require.Equal(t, 503, operator(t, s, runs, `{"policy":"p","reason":"why"}`).StatusCode)
}

func TestLists_PageByKey(t *testing.T) {
	d := &daemon{
		upstreams: []handlers.Upstream{
			{UpstreamLine: handlers.UpstreamLine{Name: "stellar", State: "incident", Impact: "major", Text: "Horizon requests fail"}, Events: []upstream.Event{{ID: "i-1", Kind: "incident", Name: "slow"}}, LastError: "timeout"},
			{UpstreamLine: handlers.UpstreamLine{Name: "anchor", State: "operational"}},
		},
		alerts: []handlers.Alert{{Episode: "e-3"}, {Episode: "e-1"}, {Episode: "e-2"}},
	}
	s := serve(t, d)
	require.JSONEq(t, `{"items":[{"name":"anchor","state":"operational","events":[]},
		{"name":"stellar","state":"incident","impact":"major","text":"Horizon requests fail","events":[{"id":"i-1","kind":"incident","name":"slow","status":"","impact":""}],"last_error":"timeout"}]}`,
		string(get(t, s, "/api/v1/upstreams").body))
	require.JSONEq(t, `{"items":[]}`, string(get(t, s, "/api/v1/policies").body))

	var seen []string
	for after, pages := "", 1; ; pages++ {
		var page handlers.Page[handlers.Alert]
		require.NoError(t, json.Unmarshal(get(t, s, "/api/v1/alerts?limit=2&after="+after).body, &page))
		for _, e := range page.Items {
			seen = append(seen, e.Episode)
		}
		if after = page.Next; after == "" {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Equal(t, []string{"e-1", "e-2", "e-3"}, seen)
	// What was the last of a page may be gone by the next one.
	require.Contains(t, string(get(t, s, "/api/v1/alerts?after=e-22").body), `"e-3"`)
	require.NotContains(t, string(get(t, s, "/api/v1/alerts?after=e-22").body), `"e-2"`)

	for _, path := range []string{"/api/v1/alerts?limit=0", "/api/v1/alerts?policy=p", "/api/v1/policies?limit=x", "/api/v1/upstreams?after=a&after=b"} {
		a := get(t, s, path)
		require.Equal(t, 400, a.StatusCode, path)
		require.Equal(t, "invalid_query", a.problem.Code)
	}
}

func TestStatus_ShowsWhatWaitsForAPerson(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	d := &daemon{status: handlers.Status{
		Quarantined:      []handlers.Quarantine{{Target: "docker:local/api", Since: at, Remediation: "r-0", Policy: "p", Text: "it failed"}},
		AwaitingApproval: []handlers.Awaiting{{ID: "r-1", Policy: "p", Approval: handlers.Approval{PlanHash: "ab12", Guards: []string{"approval"}, Requested: at, Expires: at}, Text: "restart it"}},
		Upstreams:        []handlers.UpstreamLine{{Name: "stellar", State: "unknown"}},
	}}
	body := string(get(t, serve(t, d), "/api/v1/status").body)
	require.Contains(t, body, `"quarantined":[{"target":"docker:local/api","since":"2026-11-23T03:00:00Z","remediation":"r-0","policy":"p","text":"it failed"}]`)
	require.Contains(t, body, `"awaiting_approval":[{"id":"r-1","policy":"p","plan_hash":"ab12","guards":["approval"],"requested":"2026-11-23T03:00:00Z","expires":"2026-11-23T03:00:00Z","text":"restart it"}]`)
	require.Contains(t, body, `"upstreams":[{"name":"stellar","state":"unknown"}]`)
	empty := string(get(t, serve(t, &daemon{}), "/api/v1/status").body)
	for _, list := range []string{"quarantined", "awaiting_approval", "upstreams", "active", "pauses", "firing", "docker"} {
		require.Contains(t, empty, `"`+list+`":[]`)
	}
}

func TestOpenAPI_IsServed(t *testing.T) {
	a := get(t, serve(t, &daemon{}), "/api/v1/openapi.yaml")
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "application/yaml", a.Header.Get("Content-Type"))
	require.True(t, strings.HasPrefix(string(a.body), "openapi: 3.1"))
}
