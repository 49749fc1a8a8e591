package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/handlers"
)

func (d *daemon) status(header ...string) handlers.Status {
	d.t.Helper()
	var s handlers.Status
	require.NoError(d.t, json.Unmarshal([]byte(d.ok("/api/v1/status", header...)), &s))
	return s
}

func TestReload_BadFileKeepsTheLastGoodOne(t *testing.T) {
	t.Setenv("REMEDIATOR_TEST_SECRET", "hunter2-secret")
	d := run(t, conf("dry-run"))
	before := d.status()
	for name, text := range map[string]string{
		"syntax":  "mode: [",
		"kind":    small + "  steps: [{uses: docker.restrat, with: {service: api}}]\n",
		"secret":  small + "  steps: [{uses: escalate, if: \"${env:REMEDIATOR_TEST_SECRET} and\", with: {reason: x}}]\n",
		"missing": "",
	} {
		t.Run(name, func(t *testing.T) {
			if d.write(text); text == "" {
				require.NoError(t, os.Remove(d.path))
			}
			err := d.app.Reload(t.Context(), "user:alice")
			require.ErrorIs(t, err, handlers.ErrRejected)
			require.ErrorContains(t, err, "fix: ")

			after := d.status()
			require.Equal(t, before.Config.Hash, after.Config.Hash)
			require.Equal(t, before.Config.Loaded, after.Config.Loaded)
			require.Contains(t, err.Error(), after.Config.LastError)
			require.Contains(t, after.Config.LastError, d.path)
			metrics := d.ok("/metrics")
			require.Contains(t, metrics, "\nremediator_config_last_reload_successful 0\n")
			require.Contains(t, metrics, `remediator_config_info{hash="`+before.Config.Hash+`",mode="dry-run"} 1`)
		})
	}
	records := d.ok("/api/v1/audit?type=config.rejected")
	require.Contains(t, records, `"actor":"user:alice"`)
	require.Contains(t, records, "did you mean")
	for _, text := range []string{records, d.ok("/api/v1/status"), d.ok("/metrics")} {
		require.NotContains(t, text, "hunter2")
	}
	for _, e := range d.logs.All() {
		require.NotContains(t, e.Message, "hunter2")
		for _, f := range e.Context {
			require.NotContains(t, f.String, "hunter2")
			if err, ok := f.Interface.(error); ok {
				require.NotContains(t, err.Error(), "hunter2")
			}
		}
	}

	d.write(conf("dry-run"))
	require.NoError(t, d.app.Reload(t.Context(), "system"))
	require.Empty(t, d.status().Config.LastError, "a good one clears the error")
}

func TestReload_GoodFileIsSwappedIn(t *testing.T) {
	d := run(t, conf("dry-run"))
	before := d.status()
	d.write(conf("live"))
	require.NoError(t, d.app.Reload(t.Context(), "user:alice"))
	after := d.status()
	require.Equal(t, "live", after.Mode)
	require.NotEqual(t, before.Config.Hash, after.Config.Hash)
	require.True(t, after.Config.Loaded.After(before.Config.Loaded))
	metrics := d.ok("/metrics")
	require.Contains(t, metrics, `remediator_config_info{hash="`+after.Config.Hash+`",mode="live"} 1`)
	require.NotContains(t, metrics, before.Config.Hash)
	require.Contains(t, d.ok("/api/v1/audit?type=config.loaded"), after.Config.Hash)
}

func TestReload_RefusesWhatNeedsARestart(t *testing.T) {
	for name, more := range map[string]string{
		"storage.path": "storage: {path: elsewhere.db}\n",
		"replica":      "replica: other\n",
		"audit.key":    "audit: {key: 0123456789abcdef0123456789abcdef}\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := run(t, conf("dry-run"))
			hash := d.status().Config.Hash
			d.write(conf("live", more))
			err := d.app.Reload(t.Context(), "system")
			require.ErrorIs(t, err, handlers.ErrRejected)
			require.ErrorContains(t, err, name+" changed")
			require.ErrorContains(t, err, "restart remediator")
			require.NotContains(t, err.Error(), "0123456789abcdef")
			require.Equal(t, hash, d.status().Config.Hash)
			require.Equal(t, "dry-run", d.status().Mode)
			require.NoFileExists(t, filepath.Join(d.dir, "elsewhere.db"))
		})
	}
}

func TestReload_SwapsTokens(t *testing.T) {
	dir := t.TempDir()
	token := func(name, value string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600))
		return "web: {tokens: [{role: viewer, name: " + name + ", file: " + filepath.Join(dir, name) + "}]}\n"
	}
	const old, young = "the-old-token-0123456789", "the-new-token-0123456789"
	d := run(t, conf("dry-run", token("bob", old)))
	d.ok("/api/v1/status", "Authorization", "Bearer "+old)

	d.write(conf("dry-run", token("carol", young)))
	require.NoError(t, d.app.Reload(t.Context(), "system"))
	d.ok("/api/v1/status", "Authorization", "Bearer "+young)
	status, _ := d.get("/api/v1/status", "Authorization", "Bearer "+old)
	require.Equal(t, http.StatusUnauthorized, status)

	// A token file that is not there refuses the whole reload.
	d.write(conf("live", "web: {tokens: [{role: viewer, name: dave, file: "+filepath.Join(dir, "dave")+"}]}\n"))
	require.ErrorContains(t, d.app.Reload(t.Context(), "system"), "dave")
	require.Equal(t, "dry-run", d.status("Authorization", "Bearer "+young).Mode)
}

func TestReload_TwoAtOnceBothCount(t *testing.T) {
	d := run(t, conf("dry-run"))
	d.write(conf("live"))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = d.app.Reload(t.Context(), "system") })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, "live", d.status().Mode)
	require.Equal(t, 1+len(errs), countLines(d.ok("/api/v1/audit?type=config.loaded")))
}

func countLines(s string) int {
	n := 0
	for _, c := range s {
		if c == '\n' {
			n++
		}
	}
	return n
}
