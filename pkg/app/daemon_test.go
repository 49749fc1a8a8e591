package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/stellarescrow/remediator/pkg/app"
)

// daemon is one in this process, on a directory and a port of its own, with an
// engine that is away.
type daemon struct {
	t    *testing.T
	app  *app.App
	dir  string
	path string // of config.yaml
	logs *observer.ObservedLogs

	token string // sent with each request, unless empty
}

const listenAddress = "127.0.0.1:0"

func options(path string) (app.Options, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return app.Options{ConfigFile: path, ListenAddress: listenAddress, Logger: zap.New(core)}, logs
}

// noLeaks fails the test where goroutines are left once everything is stopped.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// run starts a daemon with a configuration and stops it with the test.
func run(t *testing.T, text string, change ...func(*app.Options)) *daemon {
	t.Helper()
	return runAt(t, file(t, text), change...)
}

func runAt(t *testing.T, path string, change ...func(*app.Options)) *daemon {
	t.Helper()
	noLeaks(t)
	d := &daemon{t: t, path: path}
	d.dir = filepath.Dir(d.path)
	o, logs := options(d.path)
	d.logs = logs
	for _, c := range change {
		c(&o)
	}
	var err error
	d.app, err = app.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, d.app.Stop(ctx))
		http.DefaultClient.CloseIdleConnections()
	})
	return d
}

// write replaces the configuration.
func (d *daemon) write(text string) {
	d.t.Helper()
	require.NoError(d.t, os.WriteFile(d.path, []byte(text), 0o600))
}

// get answers status and body of a path.
func (d *daemon) get(path string, header ...string) (int, string) {
	d.t.Helper()
	return d.send(http.MethodGet, path, "", header...)
}

func (d *daemon) send(method, path, body string, header ...string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.app.Addr()+path, strings.NewReader(body))
	require.NoError(d.t, err)
	req.Header.Set("Content-Type", "application/json")
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(d.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(d.t, err)
	return resp.StatusCode, string(text)
}

// ok is the body of a path that answers 200.
func (d *daemon) ok(path string, header ...string) string {
	d.t.Helper()
	status, body := d.get(path, header...)
	require.Equal(d.t, http.StatusOK, status, body)
	return body
}

// conf is a configuration of one policy in a mode.
func conf(mode string, more ...string) string {
	return fmt.Sprintf("mode: %s\n%s%s  steps: [{uses: escalate, with: {reason: see RB-003}}]\n", mode, strings.Join(more, ""), small)
}

// firing is a notification about one alert of policy api-down.
func firing(instance string, startsAt time.Time) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"remediator","groupLabels":{},"commonLabels":{},"commonAnnotations":{},
"externalURL":"http://am","truncatedAlerts":0,"alerts":[{"status":"firing","labels":{"alertname":"ServiceDown","instance":%q},"annotations":{},
"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prom"}]}`, instance, startsAt.UTC().Format(time.RFC3339Nano))
}

func (d *daemon) post(notification string) (int, string) {
	d.t.Helper()
	return d.send(http.MethodPost, "/webhook", notification)
}
