package httprequest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/actionstest"
	"github.com/stellarescrow/remediator/pkg/alert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bearer = "t0ken-0f-the-3ntry"

// services is a Docker that knows one service, at 127.0.0.1.
type services struct {
	mu   sync.Mutex
	gone bool  // no container runs
	err  error // Docker cannot be asked
	hang bool  // Docker does not answer
}

func (*services) Declared(service string) bool { return service == "indexer" }
func (*services) Services() []string           { return []string{"indexer"} }
func (*services) Target(service string) string { return "docker:local/" + service }
func (s *services) Addresses(ctx context.Context, _ string) (bool, []netip.Addr, []netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hang {
		<-ctx.Done()
	}
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return false, nil, nil, err
	}
	return !s.gone, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil, nil
}

// seen is a request as the server got it.
type seen struct {
	method, uri, body string
	header            http.Header
}

// server answers with a handler and remembers what it was asked.
type server struct {
	*httptest.Server
	mu  sync.Mutex
	got []seen
}

func serve(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, seen{r.Method, r.RequestURI, string(body), r.Header})
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func scope() actions.Scope {
	return actions.Scope{
		Now: time.Now(), Policy: "p", Remediation: "rem-1", Alert: alert.Alert{Status: alert.Firing, Labels: template.KV{
			"job": `indexer "1"`, "up": "../admin", "frag": "/x#y",
		}},
	}
}

func decodeWith(svc Services, with string, entries ...Entry) (actions.Action, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(with), &doc); err != nil {
		return nil, err
	}
	step, err := Kinds(entries, svc)[0].Decode(doc.Content[0])
	if err != nil {
		return nil, err
	}
	return step.(actions.Action), nil
}

// send plans and applies.
func send(t *testing.T, svc Services, with string, e Entry) (actions.Plan, actions.Result, error) {
	t.Helper()
	a, err := decodeWith(svc, with, e)
	require.NoError(t, err)
	p, err := a.Plan(t.Context(), scope())
	require.NoError(t, err)
	res, err := a.Apply(t.Context(), scope(), p, actions.NewHands(Hands([]Entry{e}, svc)))
	return p, res, err
}

func TestRequest_Conforms(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	svc := &services{}
	entries := []Entry{{Name: "indexer", Service: "indexer", URL: s.URL, Bearer: bearer}}
	set := func(err error, hang bool) func() {
		svc.err, svc.hang = err, hang
		return func() { svc.err, svc.hang = nil, false }
	}
	kind := Kinds(entries, svc)[0]
	actionstest.Run(t, actionstest.Case{
		Kind: kind, Scope: scope(), Effects: s.asked, Hands: actions.NewHands(Hands(entries, svc)), Secrets: []string{bearer},
		With: "{http: indexer, method: POST, path: '/replay/" + bearer + "?key=" + bearer + "', body: '{\"job\": {{ toJson .Labels.job }}, \"k\": \"" + bearer + "\"}'}",
		Away: func() func() { return set(errors.New("no engine"), false) },
		Hang: func() func() { return set(nil, true) },
	})
	actionstest.Documented(t, filepath.Join("..", "..", "..", "docs", "actions"), kind)
	require.Zero(t, s.asked(), "the suite sends nothing")
}

func TestRequest_SendsWhatWasPlannedOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks for "+r.Header.Get("Authorization"))
	})
	e := Entry{Name: "indexer", Service: "indexer", URL: s.URL + "/api", Bearer: bearer}
	p, res, err := send(t, &services{}, `{http: indexer, method: PUT, path: '/jobs/{{ urlquery .Labels.job }}?dry=0', body: '{"job": {{ toJson .Labels.job }}}'}`, e)
	require.NoError(t, err)
	require.Len(t, s.got, 1)
	got := s.got[0]
	require.Equal(t, http.MethodPut, got.method)
	require.Equal(t, "/api/jobs/indexer+%221%22?dry=0", got.uri)
	require.JSONEq(t, `{"job": "indexer \"1\""}`, got.body)
	require.Equal(t, "Bearer "+bearer, got.header.Get("Authorization"))
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "rem-1-"+actions.Hash([]actions.Plan{p}), got.header.Get("Idempotency-Key"))
	require.True(t, res.OK)
	require.Equal(t, http.StatusAccepted, res.Outputs["status"])
	require.Equal(t, "thanks for Bearer [redacted]", res.Outputs["body"])
	require.IsType(t, 0, res.Outputs["latency_ms"])
	require.Equal(t, []string{"docker:local/indexer"}, p.Targets)
	require.Equal(t, "PUT "+s.URL+"/api/jobs/indexer+%221%22", p.Objects[0].ID)
	require.Equal(t, "indexer", p.Objects[0].Name)
}

func TestRequest_WithoutABodyOrABearer(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	p, res, err := send(t, &services{}, "{http: cache, method: DELETE}", Entry{Name: "cache", URL: s.URL})
	require.NoError(t, err)
	require.True(t, res.OK)
	require.Equal(t, []string{"http:cache"}, p.Targets)
	require.Equal(t, []string{"http:cache"}, Targets([]Entry{{Name: "cache"}, {Name: "indexer", Service: "indexer"}}))
	require.Equal(t, "DELETE", s.got[0].method)
	require.NotContains(t, s.got[0].header, "Authorization")
	require.NotContains(t, s.got[0].header, "Content-Type")
}

func TestRequest_AHostThatIsItsServiceIsDialledAtTheContainer(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	_, res, err := send(t, &services{}, "{http: indexer, method: POST, path: /x, body: plain}", Entry{Name: "indexer", Service: "indexer", URL: "http://indexer:" + port})
	require.NoError(t, err)
	require.True(t, res.OK)
	require.Equal(t, "text/plain; charset=utf-8", s.got[0].header.Get("Content-Type"))
}

func TestRequest_FollowsNoRedirect(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/", http.StatusTemporaryRedirect)
	})
	_, res, err := send(t, &services{}, "{http: indexer, method: POST, body: x}", Entry{Name: "indexer", URL: s.URL, Bearer: bearer})
	require.Equal(t, actions.CodeFailed, actions.CodeOf(err))
	require.Equal(t, http.StatusTemporaryRedirect, res.Outputs["status"])
	require.Zero(t, other.asked())
	require.Equal(t, 1, s.asked())
}

func TestRequest_JudgesTheStatus(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/no": 409, "/ok": 204, "/gate": 502, "/late": 504, "/down": 503}[r.URL.Path])
	})
	for with, want := range map[string]actions.Code{
		"path: /ok": "", "path: /no, status: 409": "", "path: /no, status: [200, 409]": "", "path: /gate, status: 502": "",
		"path: /no": actions.CodeFailed, "path: /ok, status: 200": actions.CodeFailed, "path: /down": actions.CodeFailed,
		"path: /gate": actions.CodeOutcomeUnknown, "path: /late": actions.CodeOutcomeUnknown,
	} {
		_, res, err := send(t, &services{}, "{http: indexer, method: POST, "+with+"}", Entry{Name: "indexer", URL: s.URL})
		require.Equal(t, want == "", res.OK, with)
		if want == "" {
			require.NoError(t, err, with)
			continue
		}
		require.Equal(t, want, actions.CodeOf(err), with)
		require.Regexp(t, `^POST http://.* answered \d+`, err.Error())
	}
}

func TestRequest_NothingIsSentThatIsNotPlanned(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	e := Entry{Name: "indexer", URL: s.URL}
	for _, with := range []string{
		"{http: indexer, method: POST, path: '/{{ urlquery .Labels.job }}'}",
		"{http: indexer, method: POST, path: '/x?job={{ urlquery .Labels.job }}'}",
		"{http: indexer, method: POST, body: '{{ .Labels.job }}'}",
	} {
		a, err := decodeWith(&services{}, with, e)
		require.NoError(t, err)
		p, err := a.Plan(t.Context(), scope())
		require.NoError(t, err)
		changed := scope()
		changed.Alert.Labels["job"] = "another"
		_, err = a.Apply(t.Context(), changed, p, actions.NewHands(Hands([]Entry{e}, &services{})))
		require.ErrorContains(t, err, "not the planned one", with)
		require.Equal(t, actions.CodeFailed, actions.CodeOf(err))
	}
	require.Zero(t, s.asked())
}

func TestRequest_WhatLabelsMayNotDo(t *testing.T) {
	for with, want := range map[string]string{
		"path: '/x/{{ .Labels.up }}'":          "does not stay at http entry",
		"path: '/%2e%2e/{{ .Labels.none }}'":   "does not stay at http entry",
		"path: '{{ .Labels.frag }}'":           "the path has a #",
		`body: '{"job": "{{ .Labels.job }}"}'`: "looks like JSON and is not valid",
		"body: '{{ .Steps.none.x }}'":          `step "none" has not run`,
	} {
		a, err := decodeWith(&services{}, "{http: indexer, method: POST, "+with+"}", Entry{Name: "indexer", URL: "http://127.0.0.1:1/api"})
		require.NoError(t, err, with)
		_, err = a.Plan(t.Context(), scope())
		require.ErrorContains(t, err, want, with)
	}
}

func TestDecode_Mistakes(t *testing.T) {
	for with, want := range map[string]string{
		"{method: POST}":                                         "wants an http entry",
		"{http: indxer, method: POST}":                           `did you mean "indexer"?`,
		"{http: lost, method: POST}":                             `service "elsewhere" of http entry "lost" is not declared`,
		"{http: query, method: POST}":                            "no url that a path can be added to",
		"{http: indexer}":                                        "write method: one of POST",
		"{http: indexer, method: GET}":                           "use http.get",
		"{http: indexer, method: post}":                          `bad method "post"`,
		"{http: indexer, method: POST, path: /../admin}":         "does not stay",
		`{http: indexer, method: POST, path: 'x\..\admin'}`:      "does not stay",
		"{http: indexer, method: POST, path: '/%zz'}":            "bad path",
		"{http: indexer, method: POST, body: '{\"a\": }'}":       "looks like JSON",
		"{http: indexer, method: POST, body: '{{ .Lables.a }}'}": "Labels",
		"{http: indexer, method: POST, status: 99}":              "100 to 599",
		"{http: indexer, method: POST, timeout: 0s}":             "bad timeout",
		"{http: indexer, method: POST, timeout: 5m}":             "to 4m",
		"{http: indexer, metod: POST}":                           "unknown key",
	} {
		_, err := decodeWith(&services{}, with, Entry{Name: "indexer", URL: "http://127.0.0.1:1"},
			Entry{Name: "lost", URL: "http://127.0.0.1:1", Service: "elsewhere"}, Entry{Name: "query", URL: "http://127.0.0.1:1/?a=b"})
		require.ErrorContains(t, err, want, with)
		require.Regexp(t, `^1:\d+: `, err.Error(), with)
	}
}

func TestDecode_NamesStepsAndTargets(t *testing.T) {
	a, err := decodeWith(&services{}, "{http: indexer, method: POST, path: '/{{ .Steps.a.x }}', body: '{{ .Steps.b.y }}'}",
		Entry{Name: "indexer", Service: "indexer", URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, a.Needs())
	targets, err := a.Targets(actions.Scope{})
	require.NoError(t, err)
	require.Equal(t, actions.Targets{Names: []string{"docker:local/indexer"}, Exact: true}, targets)
}

func TestRequest_ShowsTheBeginningOfALongAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat("word ", 4000)+r.Header.Get("Authorization"))
		}
	})
	_, res, err := send(t, &services{}, "{http: indexer, method: POST}", Entry{Name: "indexer", URL: s.URL, Bearer: bearer})
	require.NoError(t, err)
	body := res.Outputs["body"].(string)
	require.Less(t, len(body), shownBody+100)
	require.NotContains(t, body, bearer)
	require.Contains(t, body, "bytes cut]")
}
