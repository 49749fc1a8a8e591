package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
)

// Two names for one engine would be two locks and two sets of counters.
func TestLoad_KnowsAnEngineByEveryNameOfIts(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	require.NoError(t, os.Symlink("run", filepath.Join(dir, "var")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run", "there.sock"), nil, 0o600))
	require.NoError(t, os.Symlink("run/there.sock", filepath.Join(dir, "link.sock")))
	two := func(a, b, project string) error {
		_, err := config.Load(write(t, fmt.Sprintf("docker:\n- {name: a, host: %q, project: p, services: [api]}\n- {name: b, host: %q, project: %s, services: [api]}\n", a, b, project)), config.Options{})
		return err
	}
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"a linked directory, the engine is down": {"unix://" + dir + "/var/docker.sock", "unix://" + dir + "/run/docker.sock", true},
		"a linked socket":                        {"unix://" + dir + "/link.sock", "unix://" + dir + "/run/there.sock", true},
		"slashes":                                {"unix://" + dir + "/run/docker.sock", "unix:///" + dir + "//run/../run/docker.sock", true},
		"a directory that is not there":          {"unix:///not/there/docker.sock", "unix:///not/./there/docker.sock", true},
		"another socket":                         {"unix://" + dir + "/run/docker.sock", "unix://" + dir + "/run/there.sock", false},
		"this host":                              {"tcp://127.0.0.1:2375", "tcp://localhost:2375", true},
		"this host by IPv6":                      {"tcp://[::1]:2375", "tcp://localhost.:2375/", true},
		"another port":                           {"tcp://127.0.0.1:2375", "tcp://localhost:2376", false},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, two(c.a, c.b, "q"), "another project")
			if err := two(c.a, c.b, "p"); c.same {
				require.ErrorContains(t, err, "the same project of the same engine is declared twice")
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestLoad_MatchersOfOneLabelMayBeMany(t *testing.T) {
	for _, ms := range []string{
		`'alertname="A"', 'alertname=~"A|B"'`, `'alertname="A"', 'alertname!="B"', 'alertname!~"C.*"'`, `'alertname=~"A|B"', 'alertname=~"B|C"'`,
		`'alertname=~"A.*"', 'alertname=~".*B"'`, `'alertname="A"', 'job="x"', 'instance="x"'`, `'alertname=~"A|B"', 'alertname!="A"'`,
	} {
		load(t, "policies:\n- name: p\n  matchers: ["+ms+"]\n  guards: {suppress_while: {alert: ["+ms+"]}}\n  steps: [{uses: diagnose}]\n")
	}
}
