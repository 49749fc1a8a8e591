package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/handlers"
)

func (d *daemon) list(query url.Values) handlers.Page[handlers.Remediation] {
	d.t.Helper()
	var page handlers.Page[handlers.Remediation]
	require.NoError(d.t, json.Unmarshal([]byte(d.ok("/api/v1/remediations?"+query.Encode())), &page))
	return page
}

// happened waits until n remediations are closed.
func (d *daemon) happened(n int) {
	d.t.Helper()
	require.Eventually(d.t, func() bool { return len(d.list(url.Values{"state": {"closed"}}).Items) == n }, 10*time.Second, 5*time.Millisecond)
}

const second = `
- name: db-down
  matchers: ['alertname="PostgresDown"']
  severity: P1
  steps: [{uses: escalate, with: {reason: see RB-001}}]
`

// history is a daemon to which five alerts came, one after the other: the third
// is the other policy's.
func history(t *testing.T) *daemon {
	t.Helper()
	d := run(t, conf("live")+second)
	for i := range 5 {
		text := firing(fmt.Sprintf("api-%d", i), time.Now())
		if i == 2 {
			text = strings.Replace(text, "ServiceDown", "PostgresDown", 1)
		}
		status, body := d.post(text)
		require.Equal(t, http.StatusOK, status, body)
		d.happened(i + 1)
	}
	return d
}

func ids(page handlers.Page[handlers.Remediation]) []string {
	var out []string
	for _, r := range page.Items {
		out = append(out, r.ID)
	}
	return out
}

func TestReader_PagesAndFilters(t *testing.T) {
	d := history(t)
	all := d.list(nil)
	require.Len(t, all.Items, 5)
	require.Empty(t, all.Next)
	for i := 1; i < 5; i++ {
		require.False(t, all.Items[i].Opened.After(all.Items[i-1].Opened), "newest first")
	}
	third := all.Items[2]
	require.Equal(t, []string{"db-down", "P1", "live", "closed", "escalated"},
		[]string{third.Policy, third.Severity, third.Mode, third.State, third.Outcome})

	var seen []string
	query := url.Values{"limit": {"2"}}
	for pages := 1; ; pages++ {
		page := d.list(query)
		seen = append(seen, ids(page)...)
		if page.Next == "" {
			require.Equal(t, 3, pages)
			break
		}
		require.Len(t, page.Items, 2)
		query.Set("after", page.Next)
	}
	require.Equal(t, ids(all), seen)

	stamp := func(at time.Time) string { return at.Format(time.RFC3339Nano) }
	for name, c := range map[string]struct {
		query url.Values
		want  []string
	}{
		"policy":                      {url.Values{"policy": {"db-down"}}, []string{third.ID}},
		"alert's name":                {url.Values{"alert": {"PostgresDown"}}, []string{third.ID}},
		"episode":                     {url.Values{"alert": {third.Episodes[0]}}, []string{third.ID}},
		"since":                       {url.Values{"since": {stamp(all.Items[1].Opened)}}, ids(all)[:2]},
		"until is not included":       {url.Values{"until": {stamp(all.Items[2].Opened)}}, ids(all)[3:]},
		"state":                       {url.Values{"state": {"running"}}, nil},
		"a target that nobody had":    {url.Values{"target": {"docker:local/api"}}, nil},
		"a page that is exactly full": {url.Values{"limit": {"5"}}, ids(all)},
	} {
		t.Run(name, func(t *testing.T) {
			page := d.list(c.query)
			require.Equal(t, c.want, ids(page))
			require.Empty(t, page.Next, "nothing comes after it")
		})
	}
}

// What fires and is left alone is shown, with why.
func TestReader_StatusShowsWhatIsLeftAlone(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("the-operator-token-0123456789"), 0o600))
	hooks := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(hooks, []byte("the-webhook-token-0123456789"), 0o600))
	d := run(t, conf("live", fmt.Sprintf("web: {tokens: [{role: operator, name: alice, file: %s}, {role: alertmanager, name: am, file: %s}]}\n", token, hooks)))
	d.token = "the-operator-token-0123456789"
	require.Eventually(t, func() bool { return len(d.status().Docker) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "local", d.status().Docker[0].Name)
	require.Empty(t, d.status().Firing)
	status, body := d.send(http.MethodPost, "/api/v1/pause", `{"policy":"api-down","reason":"deploy"}`)
	require.Equal(t, http.StatusOK, status, body)
	begin := time.Now().Add(-time.Hour)
	for i := range 12 {
		status, body = d.send(http.MethodPost, "/webhook", firing(fmt.Sprintf("api-%d", i), begin.Add(time.Duration(i)*time.Second)), "Authorization", "Bearer the-webhook-token-0123456789")
		require.Equal(t, http.StatusOK, status, body)
	}
	require.Eventually(t, func() bool { return d.status().FiringMore == 2 }, 10*time.Second, 5*time.Millisecond)
	s := d.status()
	require.Len(t, s.Firing, 10)
	first := s.Firing[0]
	require.True(t, begin.Equal(first.Since), "the oldest first")
	require.Equal(t, []string{"ServiceDown", "api-down", "suppress", "paused"}, []string{first.Alert, first.Policy, first.Verdict, first.Code})
	require.Contains(t, first.Text, "paused by user:alice")
	require.Equal(t, 12, s.OpenEpisodes)
}

func TestReader_RemediationHasItsRecords(t *testing.T) {
	d := history(t)
	id := d.list(nil).Items[0].ID
	var detail handlers.RemediationDetail
	require.NoError(t, json.Unmarshal([]byte(d.ok("/api/v1/remediations/"+id)), &detail))
	require.Equal(t, id, detail.ID)
	require.NotNil(t, detail.Closed)
	var types []string
	for _, raw := range detail.Records {
		var r struct{ Type, Remediation string }
		require.NoError(t, json.Unmarshal(raw, &r))
		require.Equal(t, id, r.Remediation)
		types = append(types, r.Type)
	}
	require.Equal(t, "remediation.decided", types[0])
	require.Contains(t, types, "remediation.closed")

	status, body := d.get("/api/v1/remediations/rem-nothing")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "rem-nothing")
}

func TestReader_StatusCountsWhatIsUnderWay(t *testing.T) {
	at, leave := make(chan struct{}), make(chan struct{})
	tokens := "web:\n  tokens:\n"
	for _, role := range []string{"operator", "alertmanager"} {
		path := filepath.Join(t.TempDir(), "token")
		require.NoError(t, os.WriteFile(path, []byte("the-"+role+"-token-0123456789"), 0o600))
		tokens += fmt.Sprintf("  - {role: %s, name: the-%s, file: %s}\n", role, role, path)
	}
	d := run(t, conf("live", tokens), func(o *app.Options) {
		o.Boundary = func(name string) {
			if name == "locked" {
				close(at)
				<-leave
			}
		}
	})
	var once sync.Once
	goOn := func() { once.Do(func() { close(leave) }) }
	t.Cleanup(goOn) // before the daemon is stopped
	d.token = "the-operator-token-0123456789"
	before := d.status()
	require.True(t, before.Ready)
	require.Empty(t, before.Remediations)
	require.Zero(t, before.OpenEpisodes)
	require.Equal(t, "live", before.Mode)
	require.WithinDuration(t, time.Now(), before.Started, time.Minute)
	require.NotEmpty(t, before.Replica)
	require.NotZero(t, before.Audit.Seq)

	status, body := d.send(http.MethodPost, "/webhook", firing("api-0", time.Now()), "Authorization", "Bearer the-alertmanager-token-0123456789")
	require.Equal(t, http.StatusOK, status, body)
	<-at
	require.Eventually(t, func() bool { return d.status().Remediations["running"] == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 1, d.status().OpenEpisodes)
	require.Equal(t, []string{"running"}, []string{d.list(url.Values{"state": {"running"}}).Items[0].State})
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	status, body = d.send(http.MethodPost, "/api/v1/pause", fmt.Sprintf(`{"policy":"api-down","reason":"deploy","until":%q}`, until.Format(time.RFC3339)))
	require.Less(t, status, 300, body)
	pauses := d.status().Pauses
	require.Len(t, pauses, 1)
	require.Equal(t, "api-down", pauses[0].Policy)
	require.Equal(t, "deploy", pauses[0].Reason)
	require.True(t, until.Equal(*pauses[0].Until))
	require.Equal(t, "user:the-operator", pauses[0].Actor)
	goOn()
	d.happened(1)
}
