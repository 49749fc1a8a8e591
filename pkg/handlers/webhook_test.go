package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

func manyAlerts(n int) string {
	alerts := make([]string, n)
	for i := range alerts {
		alerts[i] = fmt.Sprintf(`{"status":"firing","startsAt":"2026-11-23T10:00:00Z","labels":{"i":"%d"}}`, i)
	}
	return `{"version":"4","alerts":[` + strings.Join(alerts, ",") + `]}`
}

func TestWebhook_BadInput(t *testing.T) {
	d := &daemon{}
	s := serve(t, d)
	label := func(v string) string {
		return `{"version":"4","alerts":[{"status":"firing","startsAt":"2026-11-23T10:00:00Z","labels":{"a":"` + v + `"}}]}`
	}
	tests := []struct {
		name   string
		call   call
		status int
		code   string
		detail string
	}{
		{"malformed JSON", call{body: `{"version":`}, 400, "malformed_json", "at byte 11"},
		{"empty body", call{}, 400, "empty_body", "empty"},
		{"wrong version", call{body: `{"version":"3"}`}, 400, "unsupported_version", `"3"`},
		{"missing version", call{body: `{}`}, 400, "unsupported_version", "missing"},
		{"null", call{body: `null`}, 400, "not_an_object", "no object"},
		{"no alerts", call{body: `{"version":"4"}`}, 400, "no_alerts", "no alerts"},
		{"10,001 alerts", call{body: manyAlerts(10_001)}, 400, "too_many_alerts", "10000"},
		{"17 MiB", call{body: label(strings.Repeat("x", 17<<20))}, 413, "body_too_large", "16777216"},
		{"label of 1 MiB", call{body: label(strings.Repeat("x", 1<<20))}, 400, "label_too_long", `label "a"`},
		{"invalid UTF-8", call{body: label("\xff")}, 400, "invalid_utf8", "at byte"},
		{"deep nesting", call{body: `{"x":` + strings.Repeat("[", 50_000)}, 400, "too_deep", "deeper"},
		{"a form", call{body: "a=b", contentType: "application/x-www-form-urlencoded"}, 415, "not_json", "application/json"},
		{"text", call{body: notification, contentType: "text/plain"}, 415, "not_json", "text/plain"},
		{"no content type", call{body: notification, contentType: "-"}, 415, "not_json", "application/json"},
		{"nonsense content type", call{body: notification, contentType: "///"}, 415, "not_json", "application/json"},
		{"GET", call{method: "GET"}, 405, "method_not_allowed", "with POST"},
		{"PUT", call{method: "PUT", body: notification}, 405, "method_not_allowed", "with POST"},
		{"unknown path", call{path: "/webhooks", body: notification}, 404, "not_found", "/webhooks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.call.method == "" {
				tt.call.method = http.MethodPost
			}
			if tt.call.path == "" {
				tt.call.path = "/webhook"
			}
			a := tt.call.do(t, s.url("http"))
			require.Equal(t, tt.status, a.StatusCode, "%s", a.body)
			require.Equal(t, tt.code, a.problem.Code)
			require.Contains(t, a.problem.Detail, tt.detail)
			require.Equal(t, tt.call.path, a.problem.Instance)
			if tt.status == 405 {
				require.Equal(t, "POST", a.Header.Get("Allow"))
			}
		})
	}
	require.Empty(t, d.noted(), "nothing of it may have been taken in")
}

// A body without Content-Length is cut off at the limit all the same.
func TestWebhook_EndlessBodyIsRefused(t *testing.T) {
	s := serve(t, &daemon{})
	r, w := io.Pipe()
	go func() {
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = ' '
		}
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}()
	defer r.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("http")+"/webhook", r)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	// The answer may be lost with the connection: this sender never stops writing.
	if res, err := http.DefaultClient.Do(req); err == nil {
		require.NoError(t, res.Body.Close())
	}
	require.Eventually(t, func() bool {
		return s.logs.FilterMessage("request").FilterField(zap.Int("status", 413)).Len() == 1
	}, 30*time.Second, 5*time.Millisecond)
}

func TestWebhook_AcceptsOnBothPaths(t *testing.T) {
	var raw json.RawMessage
	d := &daemon{accept: func(ctx context.Context, n *alert.Notification, b json.RawMessage, _ string) error {
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		require.LessOrEqual(t, time.Until(deadline), 10*time.Second)
		require.Len(t, n.Alerts, 1)
		raw = b
		return nil
	}}
	s := serve(t, d)
	for _, path := range []string{"/", "/webhook"} {
		a := call{method: "POST", path: path, body: notification, contentType: "application/json; charset=utf-8"}.do(t, s.url("http"))
		require.Equal(t, 200, a.StatusCode, "%s", a.body)
		require.JSONEq(t, `{"status":"accepted","alerts":1}`, string(a.body))
		require.JSONEq(t, notification, string(raw))
	}
	require.Equal(t, []string{"accept from 127.0.0.1", "accept from 127.0.0.1"}, d.noted())
}

func TestWebhook_NotDurableIs503(t *testing.T) {
	secret := errors.New("dsn postgres://u:hunter2@db")
	tests := map[string]struct {
		err  error
		code string
	}{
		"store away":    {fmt.Errorf("append: %w", audit.ErrUnavailable), "store_unavailable"},
		"in doubt":      {audit.ErrInDoubt, "store_unavailable"},
		"closed":        {audit.ErrClosed, "store_unavailable"},
		"took too long": {context.DeadlineExceeded, "store_unavailable"},
		"other faults":  {secret, "not_recorded"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &daemon{accept: func(context.Context, *alert.Notification, json.RawMessage, string) error { return tt.err }}
			s := serve(t, d)
			a := call{method: "POST", path: "/webhook", body: notification}.do(t, s.url("http"))
			require.Equal(t, 503, a.StatusCode)
			require.Equal(t, "5", a.Header.Get("Retry-After"))
			require.Equal(t, tt.code, a.problem.Code)
			require.NotContains(t, string(a.body), "hunter2")
			require.Len(t, s.logs.FilterMessage("request failed").All(), 1, "the cause is in the log")
		})
	}
}

func TestHandler_PanicIsA500AndTheDaemonStaysUp(t *testing.T) {
	s := serve(t, &daemon{statusPanics: true})
	a := call{method: "GET", path: "/api/v1/status"}.do(t, s.url("http"))
	require.Equal(t, 500, a.StatusCode)
	require.Equal(t, "internal", a.problem.Code)
	require.NotContains(t, string(a.body), "fault of the test")

	lines := s.logs.FilterLevelExact(zapcore.ErrorLevel).All()
	require.Len(t, lines, 1)
	require.Contains(t, lines[0].ContextMap()["trace"], "fakes_test.go")
	require.Equal(t, 200, call{method: "GET", path: "/-/healthy"}.do(t, s.url("http")).StatusCode)
}
