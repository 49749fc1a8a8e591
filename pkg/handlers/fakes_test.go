package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// daemon stands in for everything behind the HTTP side. A nil function succeeds.
type daemon struct {
	accept       func(ctx context.Context, n *alert.Notification, raw json.RawMessage, remote string) error
	ready        func() error
	reload       func(actor string) error
	list         func(q handlers.RemediationQuery) (*handlers.Page[handlers.Remediation], error)
	follow       func(ctx context.Context, fn func(audit.Stored) error) error
	scan         func(f audit.Filter, fn func(audit.Stored) error) error
	resumeHeld   func(actor, id string) error
	approve      func(id, planHash string) error
	reject       func(id string) error
	run          func(r handlers.RunRequest) (*handlers.RunAnswer, error)
	clear        func(target string) error
	status       handlers.Status
	upstreams    []handlers.Upstream
	alerts       []handlers.Alert
	policies     []handlers.Policy
	statusPanics bool

	mu    sync.Mutex
	calls []string // guarded by mu
}

func (d *daemon) note(call string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
}

func (d *daemon) noted() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.calls...)
}

func (d *daemon) Accept(ctx context.Context, n *alert.Notification, raw json.RawMessage, remote string) error {
	d.note("accept from " + remote)
	if d.accept != nil {
		return d.accept(ctx, n, raw, remote)
	}
	return nil
}

func (d *daemon) Ready(context.Context) error {
	if d.ready != nil {
		return d.ready()
	}
	return nil
}

func (d *daemon) Status(context.Context) (*handlers.Status, error) {
	if d.statusPanics {
		panic("a fault of the test")
	}
	s := d.status
	s.Version, s.Mode, s.Ready = "v0", "dry-run", true
	return &s, nil
}

func (d *daemon) Upstreams(context.Context) ([]handlers.Upstream, error) {
	return slices.Clone(d.upstreams), nil
}

func (d *daemon) Alerts(context.Context) ([]handlers.Alert, error) {
	return slices.Clone(d.alerts), nil
}

func (d *daemon) Policies(context.Context) ([]handlers.Policy, error) {
	return slices.Clone(d.policies), nil
}

func (d *daemon) Remediations(_ context.Context, q handlers.RemediationQuery) (*handlers.Page[handlers.Remediation], error) {
	if d.list != nil {
		return d.list(q)
	}
	return &handlers.Page[handlers.Remediation]{}, nil
}

func (d *daemon) Remediation(_ context.Context, id string) (*handlers.RemediationDetail, error) {
	if id != "r-1" {
		return nil, handlers.ErrNotFound
	}
	return &handlers.RemediationDetail{Remediation: handlers.Remediation{ID: id}}, nil
}

func (d *daemon) Scan(_ context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	if d.scan != nil {
		return d.scan(f, fn)
	}
	return fn(audit.Stored{JSON: []byte(`{"seq":1}`)})
}

func (d *daemon) Follow(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	if d.follow != nil {
		return d.follow(ctx, fn)
	}
	return d.Scan(ctx, f, fn)
}

func (d *daemon) Reload(_ context.Context, actor string) error {
	d.note("reload by " + actor)
	if d.reload != nil {
		return d.reload(actor)
	}
	return nil
}

func (d *daemon) Pause(_ context.Context, actor string, p handlers.PauseRequest) error {
	d.note("pause by " + actor + " policy=" + p.Policy + " target=" + p.Target + " reason=" + p.Reason)
	return nil
}

func (d *daemon) Resume(_ context.Context, actor string, r handlers.ResumeRequest) error {
	d.note("resume by " + actor + " policy=" + r.Policy + " target=" + r.Target + " reason=" + r.Reason)
	return nil
}

func (d *daemon) Approve(_ context.Context, actor, id, planHash, reason string) error {
	d.note("approve " + id + " " + planHash + " by " + actor + ": " + reason)
	if d.approve != nil {
		return d.approve(id, planHash)
	}
	return nil
}

func (d *daemon) Reject(_ context.Context, actor, id, reason string) error {
	d.note("reject " + id + " by " + actor + ": " + reason)
	if d.reject != nil {
		return d.reject(id)
	}
	return nil
}

func (d *daemon) Run(_ context.Context, actor string, r handlers.RunRequest) (*handlers.RunAnswer, error) {
	d.note(fmt.Sprintf("run %s %v by %s: %s", r.Policy, r.Labels, actor, r.Reason))
	if d.run != nil {
		return d.run(r)
	}
	return &handlers.RunAnswer{Episode: "e-1", Remediation: "r-1", Policy: r.Policy, Mode: "live", Verdict: "execute", Reason: audit.Reason{Code: "allowed"}}, nil
}

func (d *daemon) Clear(_ context.Context, actor, target, reason string) error {
	d.note("clear " + target + " by " + actor + ": " + reason)
	if d.clear != nil {
		return d.clear(target)
	}
	return nil
}

func (d *daemon) ResumeHeld(_ context.Context, actor, id string) error {
	d.note("resume " + id + " by " + actor)
	if d.resumeHeld != nil {
		return d.resumeHeld(actor, id)
	}
	return nil
}

func (d *daemon) Cancel(_ context.Context, actor, id, reason string) error {
	d.note("cancel " + id + " by " + actor + ": " + reason)
	return nil
}

func (d *daemon) Plan(_ context.Context, n *alert.Notification) (any, error) {
	return []map[string]string{{"alert": alert.Fingerprint(n.Alerts[0])}}, nil
}

// served is a running server with its log and metrics.
type served struct {
	*handlers.Server
	logs *observer.ObservedLogs
	reg  *prometheus.Registry
}

func (s *served) url(scheme string) string { return scheme + "://" + s.Addr().String() }

func options(d *daemon) (handlers.Options, *served) {
	core, logs := observer.New(zapcore.DebugLevel)
	reg := prometheus.NewRegistry()
	return handlers.Options{
		Deps: handlers.Deps{
			Intake: d, Health: d, Reader: d, Journal: d, Controller: d,
			Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
			ParseFilter: func(v url.Values) (audit.Filter, error) {
				for name := range v {
					if name != "policy" {
						return audit.Filter{}, handlers.ErrInvalid
					}
				}
				return audit.Filter{Policy: v.Get("policy")}, nil
			},
			Logger: zap.New(core),
		},
		Address: "127.0.0.1:0", Registerer: reg,
	}, &served{logs: logs, reg: reg}
}

// serve starts a server on a free port and stops it with the test.
func serve(t *testing.T, d *daemon, change ...func(*handlers.Options)) *served {
	t.Helper()
	o, s := options(d)
	for _, c := range change {
		c(&o)
	}
	var err error
	s.Server, err = handlers.NewServer(o)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
	return s
}

// call is one request of a test.
type call struct {
	method, path, body string
	contentType        string // "-": none; default application/json where there is a body
	token, user, pass  string
	host               string
	header             http.Header
	client             *http.Client
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body    []byte
	problem problem.Problem // where it is one
}

func (c call) do(t *testing.T, base string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, bytes.NewReader([]byte(c.body)))
	require.NoError(t, err)
	maps.Copy(req.Header, c.header)
	switch {
	case c.contentType != "" && c.contentType != "-":
		req.Header.Set("Content-Type", c.contentType)
	case c.contentType == "" && c.method == http.MethodPost:
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, c.pass)
	}
	req.Host = c.host
	client := c.client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	a := answer{Response: res, body: b}
	if res.Header.Get("Content-Type") == problem.ContentType {
		require.NoError(t, json.Unmarshal(b, &a.problem))
		require.Equal(t, res.StatusCode, a.problem.Status)
		require.Equal(t, http.StatusText(res.StatusCode), a.problem.Title)
		require.Equal(t, "about:blank", a.problem.Type)
		require.NotEmpty(t, a.problem.Code)
		require.NotEmpty(t, a.problem.Detail)
		require.NotEmpty(t, a.problem.Instance)
		require.Equal(t, res.Header.Get("X-Request-Id"), a.problem.RequestID)
	}
	return a
}

func file(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

const notification = `{"version":"4","groupKey":"{}","status":"firing","receiver":"r","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-11-23T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"00a1b2c3d4e5f601"}]}`
