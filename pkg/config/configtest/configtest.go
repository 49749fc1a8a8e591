// Package configtest runs a directory of configurations with one mistake each
// against their exact reports, for pkg/config and for the stages that compile a
// configuration further.
package configtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Secrets are the values of the environment that Env gives; no report may hold one.
var Secrets = map[string]string{
	"SECRET":     "hunter2-secret",
	"SECRET_URL": "ftp://user:hunter2-secret@host:1/",
	"SECRET_NUM": "hunter2-11",
	"EMPTY":      "",
}

// Env is the environment of the cases: Secrets, and nothing else.
func Env(name string) (string, bool) {
	v, ok := Secrets[name]
	return v, ok
}

// Mistakes loads every *.yaml file of dir with load and compares the error with
// the *.txt file beside it. Each file has exactly one mistake, unless its name
// begins with "several-"; no report may hold a value of Secrets. The working
// directory is dir meanwhile, so that reports name the bare file. With
// UPDATE_GOLDEN=1 the expected files are written; they are for people to review.
// It returns the number of cases.
func Mistakes(t *testing.T, dir string, load func(path string, env func(string) (string, bool)) error) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no cases in %s", dir)
	t.Chdir(dir)
	wanted := map[string]bool{}
	for _, f := range files {
		file := filepath.Base(f)
		want := strings.TrimSuffix(file, ".yaml") + ".txt"
		wanted[want] = true
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) { one(t, file, want, load(file, Env)) })
	}
	left, err := filepath.Glob("*.txt")
	require.NoError(t, err)
	for _, f := range left {
		require.True(t, wanted[f], "%s has no configuration beside it", f)
	}
	return len(files)
}

func one(t *testing.T, file, want string, err error) {
	t.Helper()
	require.Error(t, err, "the mistake in %s was accepted", file)
	got := err.Error() + "\n"
	for name, secret := range Secrets {
		if secret != "" {
			require.NotContains(t, got, secret, "the report holds the value of %s", name)
		}
	}
	if !strings.HasPrefix(file, "several-") {
		require.Contains(t, got, "\n1 mistake in "+file+"\n", "one mistake is told once:\n%s", got)
	}
	require.Contains(t, got, "fix: ", "every mistake has its fix")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(want, []byte(got), 0o644))
		return
	}
	expected, readErr := os.ReadFile(want)
	require.NoError(t, readErr)
	require.Equal(t, string(expected), got)
}
