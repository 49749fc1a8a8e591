package app_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
)

// away is an engine that does not answer.
const away = "unix:///nonexistent/docker.sock"

func load(t *testing.T, path string, env map[string]string) *config.File {
	t.Helper()
	f, err := config.Load(path, config.Options{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	require.NoError(t, err)
	return f
}

// file writes a configuration of one policy into a new directory.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestBuild_TakesTheShippedFileWithoutDocker(t *testing.T) {
	f := load(t, "../../config.yaml", map[string]string{"DOCKER_HOST": away})
	begin := time.Now()
	built, err := app.Build(t.Context(), f, false)
	require.NoError(t, err)
	require.NoError(t, built.Close())
	require.Less(t, time.Since(begin), 5*time.Second, "an engine that is away holds up neither a start nor `check`")
	require.Len(t, built.Snapshot.Runbooks, len(f.Config.Policies))
	for name, rb := range built.Snapshot.Runbooks {
		if changes(rb) {
			require.NotEmpty(t, rb.Confirm, "%s changes something and confirms nothing", name)
			require.NotEmpty(t, rb.Verify, "%s changes something and proves nothing", name)
		}
	}
}

func changes(rb *engine.Runbook) bool {
	for _, list := range [][]*engine.Step{rb.Steps, rb.OnFailure} {
		for _, s := range list {
			if s.Kind.Class == actions.Changes {
				return true
			}
		}
	}
	return false
}

const small = `
docker:
- {name: local, host: "unix:///nonexistent/docker.sock", project: shop, services: [api]}
policies:
- name: api-down
  matchers: ['alertname="ServiceDown"']
`

func TestBuild_TakesChangesWithoutConfirmWhereItIsOptedOut(t *testing.T) {
	f := load(t, file(t, small+"  confirm: []\n  steps: [{uses: docker.restart, with: {service: api}}]\n"), nil)
	built, err := app.Build(t.Context(), f, false)
	require.NoError(t, err)
	require.NoError(t, built.Close())
	require.True(t, changes(built.Snapshot.Runbooks["api-down"]))
}

func TestBuild_TakesConditionsOverEverythingThatStepsYield(t *testing.T) {
	f := load(t, file(t, small+`  steps:
  - {id: st, uses: docker.state, with: {service: api}}
  - {id: log, uses: docker.logs, with: {service: api, match: panic}}
  - {uses: escalate, if: "not st.ok and st.restart_count > 3 or st.text contains 'oom'", with: {reason: "{{ .Steps.st.status }}: {{ .Steps.log.matches }}"}}
  - {uses: escalate, if: "any(log.lines, # contains 'FATAL') and labels.job == 'api' and severity == 'P1'", with: {reason: "see {{ range .Steps.log.lines }}{{ . }}{{ end }}"}}
  - {uses: escalate, if: "let n = st.exit_code; n == 137 and annotations['runbook'] != '' and not st.unknown", with: {reason: "killed"}}
`), nil)
	built, err := app.Build(t.Context(), f, false)
	require.NoError(t, err)
	require.NoError(t, built.Close())
}

func TestBuild_GivesHandsOnlyToLive(t *testing.T) {
	live := load(t, file(t, "mode: live\n"+small+"  steps: [{uses: diagnose}]\n"), nil)
	for name, c := range map[string]struct {
		forceDry bool
		hands    bool
	}{"live": {false, true}, "--dry-run over live": {true, false}} {
		t.Run(name, func(t *testing.T) {
			built, err := app.Build(t.Context(), live, c.forceDry)
			require.NoError(t, err)
			require.NoError(t, built.Close())
			_, err = actions.Hand[any](built.Snapshot.Hands, "docker:local")
			require.Equal(t, c.hands, err == nil)
		})
	}
}
