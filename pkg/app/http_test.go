package app_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/app"
)

func TestBuild_GivesRequestsTheirHandsInLiveModeOnly(t *testing.T) {
	asked := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	t.Cleanup(s.Close)
	text := `
mode: live
docker:
- {name: local, host: "unix:///nonexistent/docker.sock", project: shop, services: [api]}
http:
- {name: hooks, url: "` + s.URL + `", bearer: "${env:TOKEN}"}
- {name: api, service: api, url: "http://127.0.0.1:4000"}
policies:
- name: replay
  matchers: ['alertname="Gap"']
  confirm: []
  steps: [{uses: http.request, with: {http: hooks, method: POST, path: /replay}}]
`
	f := load(t, file(t, text), map[string]string{"TOKEN": "t0ken-0f-the-3ntry"})
	for _, dry := range []bool{true, false} {
		built, err := app.Build(t.Context(), f, dry)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, built.Close()) })
		require.True(t, built.Snapshot.Targets["http:hooks"])
		require.True(t, built.Snapshot.Targets["docker:local/api"])
		require.False(t, built.Snapshot.Targets["http:api"], "it shares its service's")

		a := built.Snapshot.Runbooks["replay"].Steps[0].Run.(actions.Action)
		p, err := a.Plan(t.Context(), actions.Scope{Remediation: "r"})
		require.NoError(t, err)
		_, err = a.Apply(t.Context(), actions.Scope{Remediation: "r"}, p, built.Snapshot.Hands)
		if dry {
			require.Equal(t, actions.CodeForbidden, actions.CodeOf(err))
			require.Empty(t, asked)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "Bearer t0ken-0f-the-3ntry", <-asked)
	}
}
