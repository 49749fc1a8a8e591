package handlers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
)

func get(t *testing.T, s *served, path string) answer {
	t.Helper()
	return call{method: "GET", path: path}.do(t, s.url("http"))
}

func TestAPI_ListsAndDetails(t *testing.T) {
	var asked handlers.RemediationQuery
	d := &daemon{list: func(q handlers.RemediationQuery) (*handlers.Page[handlers.Remediation], error) {
		asked = q
		return &handlers.Page[handlers.Remediation]{Items: []handlers.Remediation{{ID: "r-1"}}, Next: "r-1"}, nil
	}}
	s := serve(t, d)
	a := get(t, s, "/api/v1/remediations?policy=p&state=held&limit=7&after=r-9&since=2026-11-23T10:00:00Z")
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, string(a.body), `"next":"r-1"`)
	require.Equal(t, handlers.RemediationQuery{
		Policy: "p", State: "held", Limit: 7, After: "r-9", Since: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
	}, asked)

	require.Contains(t, string(get(t, s, "/api/v1/remediations/r-1").body), `"records":[]`)
	require.Contains(t, string(get(t, s, "/api/v1/status").body), `"pauses":[]`)
	require.JSONEq(t, `{"items":[]}`, string(get(t, serve(t, &daemon{}), "/api/v1/remediations").body))
}

func TestAPI_Refusals(t *testing.T) {
	s := serve(t, &daemon{scan: func(audit.Filter, func(audit.Stored) error) error { return audit.ErrUnavailable }})
	tests := []struct {
		path   string
		status int
		code   string
	}{
		{"/api/v1/remediations?polciy=p", 400, "invalid_query"},
		{"/api/v1/remediations?policy=p&policy=q", 400, "invalid_query"},
		{"/api/v1/remediations?limit=0", 400, "invalid_query"},
		{"/api/v1/remediations?limit=1001", 400, "invalid_query"},
		{"/api/v1/remediations?since=yesterday", 400, "invalid_query"},
		{"/api/v1/remediations/r-2", 404, "not_found"},
		{"/api/v1/remediations/R%2F1", 404, "not_found"},
		{"/api/v1/audit?nonsense=1", 400, "invalid_query"},
		{"/api/v1/audit?follow=perhaps", 400, "invalid_query"},
		{"/api/v1/audit", 503, "store_unavailable"},
		{"/api/v1/incidents", 404, "not_found"},
		{"/-/reload", 405, "method_not_allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			a := get(t, s, tt.path)
			require.Equal(t, tt.status, a.StatusCode, "%s", a.body)
			require.Equal(t, tt.code, a.problem.Code)
		})
	}
}

func TestReady_SaysWhyNot(t *testing.T) {
	s := serve(t, &daemon{ready: func() error { return errors.New("the store is being opened") }})
	a := get(t, s, "/-/ready")
	require.Equal(t, 503, a.StatusCode)
	require.Contains(t, a.problem.Detail, "the store is being opened")
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Equal(t, 200, get(t, s, "/-/healthy").StatusCode, "not ready is not dead")
	require.Equal(t, 200, call{method: "HEAD", path: "/-/healthy"}.do(t, s.url("http")).StatusCode)
}

func TestAudit_ExportsLines(t *testing.T) {
	s := serve(t, &daemon{scan: func(f audit.Filter, fn func(audit.Stored) error) error {
		require.Equal(t, "p", f.Policy)
		for range 10_000 {
			if err := fn(audit.Stored{JSON: []byte(`{"seq":1}`)}); err != nil {
				return err
			}
		}
		return nil
	}})
	a := get(t, s, "/api/v1/audit?policy=p")
	require.Equal(t, "application/x-ndjson", a.Header.Get("Content-Type"))
	require.Equal(t, strings.Repeat("{\"seq\":1}\n", 10_000), string(a.body))
}

// Half an export that looked whole would verify as whole.
func TestAudit_FailureMidwayCutsTheConnection(t *testing.T) {
	s := serve(t, &daemon{scan: func(_ audit.Filter, fn func(audit.Stored) error) error {
		_ = fn(audit.Stored{JSON: []byte(`{"seq":1}`)})
		return errors.New("disk gone")
	}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("http")+"/api/v1/audit", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		defer res.Body.Close()
		_, err = bufio.NewReader(res.Body).ReadString(0)
	}
	require.ErrorContains(t, err, "EOF")
	require.Len(t, s.logs.FilterMessage("audit stream broke off").All(), 1)
}

func TestAudit_FollowStreamsUntilShutdown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	next := make(chan string)
	d := &daemon{follow: func(ctx context.Context, fn func(audit.Stored) error) error {
		for {
			select {
			case line := <-next:
				if err := fn(audit.Stored{JSON: []byte(line)}); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
	o, s := options(d)
	var err error
	s.Server, err = handlers.NewServer(o)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("http")+"/api/v1/audit?follow=1", nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req) // headers come before any record
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for _, line := range []string{"one", "two"} {
		next <- line
		got, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, line+"\n", got)
	}
	require.NoError(t, s.Shutdown(t.Context()), "a follower must not hold the shutdown up")
	_, err = lines.ReadString('\n')
	require.Error(t, err)
	require.NoError(t, s.Shutdown(t.Context()), "twice is fine")
	require.Error(t, s.Start(t.Context()))
}

func TestServer_MetricsAndLogAreBoundedAndHoldNoSecret(t *testing.T) {
	s := serve(t, &daemon{})
	for _, path := range []string{"/api/v1/remediations/r-1", "/api/v1/remediations/r-1", "/x/y", "/api/v1/status?token=hunter2"} {
		call{method: "GET", path: path, token: "hunter2", header: http.Header{"X-Request-Id": {"abc-1"}}}.do(t, s.url("http"))
	}
	expected := `
# HELP remediator_http_requests_total HTTP requests answered, by route and status code.
# TYPE remediator_http_requests_total counter
remediator_http_requests_total{code="200",handler="/api/v1/remediations/{id}"} 2
remediator_http_requests_total{code="200",handler="/api/v1/status"} 1
remediator_http_requests_total{code="404",handler="other"} 1
`
	require.NoError(t, testutil.GatherAndCompare(s.reg, strings.NewReader(expected), "remediator_http_requests_total"))
	faults, err := testutil.GatherAndLint(s.reg)
	require.NoError(t, err)
	require.Equal(t, []promlint.Problem(nil), faults)
	require.Contains(t, string(get(t, s, "/metrics").body), "remediator_http_request_duration_seconds_bucket")

	lines := s.logs.FilterMessage("request").All()
	require.NotEmpty(t, lines)
	require.Equal(t, "abc-1", lines[0].ContextMap()["request_id"])
	for _, line := range s.logs.All() {
		for name, value := range line.ContextMap() {
			require.NotContains(t, fmt.Sprint(value), "hunter2", name)
		}
	}
	listening := s.logs.FilterMessage("listening").All()
	require.Len(t, listening, 1)
	require.Equal(t, s.Addr().String(), listening[0].ContextMap()["address"])
}

type memoryLog struct {
	records []audit.Stored
	signal  chan struct{}
}

func (m *memoryLog) Head() audit.Head { return audit.Head{Seq: uint64(len(m.records))} }

func (m *memoryLog) Watch() (<-chan struct{}, func()) { return m.signal, func() {} }

func (m *memoryLog) Scan(_ context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	for _, s := range m.records {
		if s.Record.Seq > f.AfterSeq && (f.Policy == "" || s.Record.Policy == f.Policy) {
			if err := fn(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memoryLog) append(policy string) {
	m.records = append(m.records, audit.Stored{Record: &audit.Record{Seq: uint64(len(m.records) + 1), Policy: policy}})
}

func TestJournal_FollowsEachRecordOnce(t *testing.T) {
	m := &memoryLog{signal: make(chan struct{}, 1)}
	m.append("p")
	m.append("q")
	ctx, cancel := context.WithCancel(t.Context())
	var got []uint64
	err := handlers.NewJournal(m).Follow(ctx, audit.Filter{Policy: "p"}, func(s audit.Stored) error {
		got = append(got, s.Record.Seq)
		switch len(got) {
		case 1: // while the scan is under way
			m.append("p")
			m.signal <- struct{}{}
		case 2:
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []uint64{1, 3}, got)
}
