package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/config/configtest"
)

// These mistakes need the kinds to be seen: each file is one that pkg/config takes.
func TestBuild_RefusesEveryMistakeWithItsPlaceAndFix(t *testing.T) {
	n := configtest.Mistakes(t, "testdata/mistakes", func(path string, env func(string) (string, bool)) error {
		f, err := config.Load(path, config.Options{Env: env})
		require.NoError(t, err, "this belongs to the cases of pkg/config")
		built, err := app.Build(t.Context(), f, false)
		if err == nil {
			require.NoError(t, built.Close())
		}
		return err
	})
	require.GreaterOrEqual(t, n, 60)
}

// Not in the table: the list of kinds grows with each one.
func TestBuild_NamesTheKindsWhereOneIsUnknown(t *testing.T) {
	for name, c := range map[string]struct{ uses, message string }{
		"unknown":          {"kubernetes.rollout", `unknown action or check "kubernetes.rollout"`},
		"technology alone": {"docker.", `unknown action or check "docker."`},
		"secret":           {"${env:SECRET}", "unknown action or check (a value from ${env:} or ${file:}, withheld)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := load(t, file(t, small+"  steps:\n  - {uses: \""+c.uses+"\"}\n"), configtest.Secrets)
			_, err := app.Build(t.Context(), f, false)
			require.ErrorContains(t, err, "8:12: "+c.message)
			require.ErrorContains(t, err, "fix: known here: ")
			require.ErrorContains(t, err, "docker.healthy, docker.logs, docker.restart")
			require.NotContains(t, err.Error(), configtest.Secrets["SECRET"])
		})
	}
}
