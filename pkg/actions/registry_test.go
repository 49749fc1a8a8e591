package actions_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
)

func kind(name string) actions.Kind {
	return actions.Kind{Name: name, Decode: func(*yaml.Node) (actions.Step, error) { return nil, nil }}
}

func TestRegistry_FindsListsAndSuggests(t *testing.T) {
	r, err := actions.NewRegistry([]actions.Kind{kind("docker.restart"), kind("docker.stop")}, []actions.Kind{kind("http.get")})
	require.NoError(t, err)
	require.Equal(t, []string{"docker.restart", "docker.stop", "http.get"}, r.Names())
	k, ok := r.Lookup("http.get")
	require.True(t, ok)
	require.Equal(t, "http.get", k.Name)
	_, ok = r.Lookup("http.got")
	require.False(t, ok)
	require.Equal(t, `did you mean "docker.restart"?`, r.Suggest("docker.restrat"))
	require.Contains(t, r.Suggest("zzzzzzzzzzzzzzz"), "http.get")
}

func TestRegistry_RefusesDoubleAndIncompleteKinds(t *testing.T) {
	_, err := actions.NewRegistry([]actions.Kind{kind("a.b")}, []actions.Kind{kind("a.b")})
	require.ErrorContains(t, err, `"a.b"`)
	_, err = actions.NewRegistry([]actions.Kind{{Name: "a.b"}})
	require.Error(t, err)
}

func TestNotYet_KnowsTheKindsOfTheContractThatAreNotBuilt(t *testing.T) {
	for _, name := range []string{
		"docker.update_memory", "docker.prune", "docker.exec", "docker.run", "docker.stats", "docker.env", "docker.disk_usage",
		"postgres.terminate_idle", "postgres.ready", "redis.ping", "tls.expiry", "host.disk", "prometheus.query", "command", "notify",
	} {
		require.True(t, actions.NotYet(name), name)
	}
	for _, name := range []string{"docker.restart", "http.get", "escalate", "diagnose", "postgres", "commands", ""} {
		require.False(t, actions.NotYet(name), name)
	}
}
