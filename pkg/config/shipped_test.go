package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

const shipped = "../../config.yaml"

func noEnv(string) (string, bool) { return "", false }

func TestLoad_TakesTheShippedFileOnAFreshMachine(t *testing.T) {
	f, err := config.Load(shipped, config.Options{Env: noEnv})
	require.NoError(t, err)
	require.Equal(t, policy.DryRun, f.Config.Mode, "the shipped file only looks")
	require.Empty(t, f.Warnings())
	require.Empty(t, f.Secrets())
	require.NotEmpty(t, f.Config.Policies)
	for i := range f.Config.Policies {
		p := &f.Config.Policies[i]
		require.NotEmpty(t, p.Escalate, "%s tells nobody", p.Name)
		require.NotEmpty(t, p.Severity, p.Name)
	}
}

// The indexer must ride out Stellar's incidents, and the guard for that comes
// later: until then nothing here may touch it, by construction.
func TestShippedFile_CannotTouchTheIndexer(t *testing.T) {
	f, err := config.Load(shipped, config.Options{Env: noEnv})
	require.NoError(t, err)
	for _, d := range f.Config.Docker {
		require.NotContains(t, d.Services, "indexer")
	}
	for i := range f.Config.Policies {
		p := &f.Config.Policies[i]
		require.False(t, f.Config.Policy(p).Matches(map[string]string{"alertname": "ServiceDown", "job": "stellar-escrow-indexer"}))
		for _, s := range p.Steps {
			if n := strictyaml.Child(s.With, "service"); n != nil {
				require.NotEqual(t, "indexer", n.Value)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{shipped, "testdata/mistakes/several-in-one-file.yaml", "testdata/mistakes/key-merge.yaml", "testdata/mistakes/docker-depends-cycle.yaml"} {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(data))
	}
	f.Add("docker: [{depends_on: {a: &x [b, [c]], d: *x}}]\npolicies: [{escalate: *x, any_matchers: [*x, *x]}]")
	f.Add("policies: &p [{name: x, steps: *p}]")
	f.Add("replica: \"${env:A:-${file:/etc/passwd}}$${\"")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := config.Load(write(t, text), config.Options{Env: func(n string) (string, bool) { return n, len(n)%2 == 0 }})
		if err != nil {
			require.NotEmpty(t, err.Error())
			require.Nil(t, file)
			return
		}
		_ = file.Warnings()
	})
}
