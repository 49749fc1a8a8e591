package actionstest_test

import (
	"context"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/actionstest"
	"github.com/stellarescrow/remediator/pkg/actions/diagnose"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/actions/httpget"
	"github.com/stellarescrow/remediator/pkg/actions/httprequest"
	"github.com/stellarescrow/remediator/pkg/actions/tell"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is what the stand-in prints, answers and is asked with.
const secret = "s3cr3t-t0ken-0f-th3-3ntry"

// world is a real engine behind a proxy, with a service that is up and one that is
// not.
type world struct {
	lab     *lab.Lab
	proxy   *dockerproxy.Proxy
	engines *docker.Engines
	url     string
	firing  func(context.Context) ([]alert.Alert, error)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{lab: lab.New(t), firing: func(context.Context) ([]alert.Alert, error) {
		return []alert.Alert{{Labels: template.KV{"alertname": "ServiceDown"}}}, nil
	}}
	require.NoError(t, w.lab.Service(ctx, lab.ServiceSpec{Name: "api"}))
	require.NoError(t, w.lab.Service(ctx, lab.ServiceSpec{Name: "idle", NoStart: true}))
	var err error
	w.url, err = w.lab.URL(ctx, "api")
	require.NoError(t, err)
	w.proxy, err = dockerproxy.Start(ctx, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.proxy.Close()) })
	w.engines, err = docker.New([]docker.Config{{Name: "local", Host: w.proxy.Host(), Project: w.lab.Project, Services: []string{"api", "idle"}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.engines.Close()) })
	return w
}

func (w *world) entries() []httpget.Entry {
	return []httpget.Entry{{Name: "api", Service: "api", URL: w.url, Bearer: secret}}
}

// hands of the whole program.
func (w *world) hands() actions.Hands {
	all := w.engines.Hands()
	maps.Copy(all, httprequest.Hands(w.entries(), w.engines))
	return actions.NewHands(all)
}

// kinds of the whole program, by name.
func (w *world) kinds(t *testing.T) *actions.Registry {
	t.Helper()
	entries := w.entries()
	r, err := actions.NewRegistry(w.engines.Kinds(), httpget.Kinds(entries, w.engines), httprequest.Kinds(entries, w.engines), tell.Kinds([]string{"oncall"}), diagnose.Kinds(w.engines, w.firing))
	require.NoError(t, err)
	return r
}

func (w *world) effects() int {
	n := 0
	for _, c := range w.proxy.Calls() {
		if c.Method != http.MethodGet && c.Method != http.MethodHead {
			n++
		}
	}
	return n
}

func (w *world) away(t *testing.T) func() (back func()) {
	return func() func() {
		require.NoError(t, w.proxy.Refuse())
		return func() { require.NoError(t, w.proxy.Allow(context.WithoutCancel(t.Context()))) }
	}
}

func (w *world) hang() (back func()) {
	w.proxy.AddRule(dockerproxy.Rule{Path: ".", Stall: time.Minute})
	return w.proxy.ClearRules
}

// with has nothing that a kind may leave out, and fits the world.
var with = map[string]string{
	"docker.restart": "{service: '{{ .Labels.service }}', timeout: 2s}",
	"docker.start":   "{service: idle, when_stopped: start}",
	"docker.stop":    "{service: api, docker: local}",
	"docker.healthy": "{service: '{{ .Labels.service }}', stable_for: 1s}",
	"docker.state":   "{service: idle, is: created}",
	"docker.logs":    "{service: api, match: no such line}",
	"http.get":       "{http: api, path: '/health', timeout: 2s}",
	"http.request":   "{http: api, method: POST, path: '/control/log', body: 'line={{ .Labels.service }}'}",
	"escalate":       "{reason: '{{ .Labels.service }} is down', to: [oncall]}",
	"diagnose":       "{services: [api], tail: 10}",
}

func TestKinds_Conform(t *testing.T) {
	w := newWorld(t)
	registry := w.kinds(t)
	names := registry.Names()
	for name := range with {
		require.Contains(t, names, name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, with, name, "a kind without a case")
			kind, _ := registry.Lookup(name)
			c := actionstest.Case{
				Kind: kind, With: with[name], Hands: w.hands(), Effects: w.effects,
				Away: w.away(t), Hang: w.hang, Secrets: []string{secret},
				Scope: actions.Scope{
					Now: time.Now(), Policy: "p", Remediation: "r",
					Alert: alert.Alert{Status: alert.Firing, Labels: template.KV{"service": "api"}},
				},
			}
			actionstest.Run(t, c)
		})
	}
	starts, err := w.lab.Starts(t.Context(), "api")
	require.NoError(t, err)
	require.Equal(t, 1, starts, "nothing was restarted by the suite")
}

func TestKinds_HaveAPage(t *testing.T) {
	engines, err := docker.New([]docker.Config{{Name: "local", Host: "unix:///nowhere.sock", Project: "p", Services: []string{"api"}}})
	require.NoError(t, err)
	defer engines.Close()
	w := &world{engines: engines}
	registry := w.kinds(t)
	dir := filepath.Join("..", "..", "..", "docs", "actions")
	for _, name := range registry.Names() {
		t.Run(name, func(t *testing.T) {
			kind, _ := registry.Lookup(name)
			actionstest.Documented(t, dir, kind)
		})
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	require.NoError(t, err)
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		require.True(t, name == "README" || slices.Contains(registry.Names(), name), "%s is of no kind", page)
	}
}
