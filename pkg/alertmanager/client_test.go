package alertmanager_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	commoncfg "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/alertmanager"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/test/lab"
)

func client(t *testing.T, base string, cfg commoncfg.HTTPClientConfig) *alertmanager.Client {
	t.Helper()
	c, err := alertmanager.New(base, cfg)
	require.NoError(t, err)
	return c
}

// running is a running Alertmanager.
func running(t *testing.T) *lab.Alertmanager {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	am, err := lab.New(t).Alertmanager(ctx, lab.AlertmanagerSpec{WebhookURL: "http://127.0.0.1:1/"})
	require.NoError(t, err)
	return am
}

func fingerprint(a lab.Alert) string {
	return alert.Fingerprint(alert.Alert{Labels: a.Labels})
}

func TestClient_KnowsStatesOfTheRealAlertmanager(t *testing.T) {
	begin := time.Now()
	am := running(t)
	c := client(t, am.URL+"/", commoncfg.DefaultHTTPClientConfig)
	list, started, err := c.Current(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	require.WithinRange(t, started, begin.Add(-time.Second), time.Now())

	active, muted := lab.ServiceDown("api", "high"), lab.ServiceDown("redis", "low")
	require.NoError(t, am.Post(t.Context(), active, muted))
	_, err = am.Silence(t.Context(), map[string]string{"job": "redis"}, time.Hour)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		list, _, err = c.Current(t.Context())
		require.NoError(t, err)
		return list[fingerprint(active)].State == engine.StateActive && list[fingerprint(muted)].State == engine.StateSuppressed
	}, 10*time.Second, 20*time.Millisecond)
	require.Len(t, list, 2)
	got := list[fingerprint(active)].Alert
	require.Equal(t, alert.Firing, got.Status)
	require.Equal(t, active.Labels, map[string]string(got.Labels))
	require.Equal(t, active.Annotations, map[string]string(got.Annotations))
	require.Equal(t, active.GeneratorURL, got.GeneratorURL)
	require.Equal(t, fingerprint(active), got.Fingerprint, "ours is Alertmanager's own")
	require.WithinRange(t, got.StartsAt, begin, time.Now())

	require.NoError(t, am.Resolve(t.Context(), active))
	require.Eventually(t, func() bool {
		list, _, err = c.Current(t.Context())
		require.NoError(t, err)
		_, there := list[fingerprint(active)]
		return !there
	}, 10*time.Second, 20*time.Millisecond)

	require.NoError(t, am.Restart(t.Context()))
	list, again, err := c.Current(t.Context())
	require.NoError(t, err)
	require.Empty(t, list, "a restarted one is empty at first")
	require.True(t, again.After(started))
	require.NoError(t, am.Stop(t.Context()))
	_, _, err = c.Current(t.Context())
	require.ErrorContains(t, err, "connection refused")
}

// httpConfig as it stands in a file.
func httpConfig(t *testing.T, text string) commoncfg.HTTPClientConfig {
	t.Helper()
	cfg := commoncfg.DefaultHTTPClientConfig
	require.NoError(t, yaml.Unmarshal([]byte(text), &cfg))
	return cfg
}

func TestClient_Authenticates(t *testing.T) {
	am := running(t)
	target, err := url.Parse(am.URL)
	require.NoError(t, err)
	const secret = "hunter2-secret"
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if (user != "am" || password != secret) && r.Header.Get("Authorization") != "Bearer "+secret {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	for name, text := range map[string]string{
		"basic auth": "basic_auth: {username: am, password: " + secret + "}",
		"bearer":     "authorization: {credentials: " + secret + "}",
	} {
		t.Run(name, func(t *testing.T) {
			_, started, err := client(t, gate.URL, httpConfig(t, text)).Current(t.Context())
			require.NoError(t, err)
			require.False(t, started.IsZero())
			_, _, err = client(t, gate.URL, httpConfig(t, strings.ReplaceAll(text, secret, "hunter3-secret"))).Current(t.Context())
			require.ErrorContains(t, err, "401")
			require.NotContains(t, err.Error(), "hunter")
		})
	}
}

const goodStatus = `{"uptime":"2026-01-02T03:04:05Z"}`

// answers is a server with an answer to each of the two requests.
func answers(t *testing.T, status, alerts http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v2/status", status)
	mux.HandleFunc("/api/v2/alerts", alerts)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func says(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

// Absence stops an action and in the end closes an episode, so that nothing but
// Alertmanager's own list may say it.
func TestClient_RefusesWhatIsNotAlertmanagersAnswer(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat(" ", 1<<20))
		for range 65 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "[]")
	}
	ok := says(http.StatusOK, goodStatus)
	for name, c := range map[string]struct {
		status, alerts http.HandlerFunc
		want           string
	}{
		"500":                 {ok, says(500, strings.Repeat("boom ", 1000)), "500 Internal Server Error: boom"},
		"500 at the status":   {says(500, "boom"), says(200, "[]"), "500"},
		"HTML":                {ok, says(200, "<html>sign in</html>"), "cannot be read"},
		"HTML at the status":  {says(200, "<html>sign in</html>"), says(200, "[]"), "cannot be read"},
		"empty":               {ok, says(200, ""), "cannot be read"},
		"cut off":             {ok, says(200, `[{"labels":{"a":"b"}`), "cannot be read"},
		"null":                {ok, says(200, "null"), "no list of alerts"},
		"an object":           {ok, says(200, "{}"), "cannot be read"},
		"another JSON API":    {says(200, `{"status":"ok"}`), says(200, "[]"), "has no uptime"},
		"no content":          {ok, says(204, ""), "204"},
		"more than it may be": {ok, endless, "larger than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			list, started, err := client(t, answers(t, c.status, c.alerts), commoncfg.DefaultHTTPClientConfig).Current(t.Context())
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "alertmanager")
			require.Less(t, len(err.Error()), 800)
			require.Nil(t, list)
			require.Zero(t, started)
		})
	}
}

func TestClient_EndsWithItsContext(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	c := client(t, answers(t, says(200, goodStatus), hang), commoncfg.DefaultHTTPClientConfig)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := c.Current(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "alertmanager")
}

func TestNew_RefusesBadURLsWithoutTheirPassword(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:9093", "ftp://user:hunter2@am:21", "http://", "", "http://user:hunter2@am:port"} {
		t.Run(fmt.Sprintf("%q", bad), func(t *testing.T) {
			_, err := alertmanager.New(bad, commoncfg.DefaultHTTPClientConfig)
			require.ErrorContains(t, err, "want http://host:port")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// Fields that later versions add are none of our business.
func TestClient_TakesWhatNewerVersionsAdd(t *testing.T) {
	list := `[{"labels":{"alertname":"X"},"annotations":{},"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z","updatedAt":"2026-01-02T03:04:05Z",
"fingerprint":"9ecd95d9efd9f8d5","receivers":[{"name":"x"}],"status":{"state":"unprocessed","inhibitedBy":[],"silencedBy":[],"mutedBy":[]},"new":{"deep":[1]}}]`
	got, started, err := client(t, answers(t, says(200, goodStatus), says(200, list)), commoncfg.DefaultHTTPClientConfig).Current(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2026, started.Year())
	require.Len(t, got, 1)
	for _, a := range got {
		require.Equal(t, engine.StateUnprocessed, a.State)
	}
}
