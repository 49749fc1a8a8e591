package httprequest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuide_QuotesTheCodeAsItIs holds docs/adding-an-action.md, which tells how this
// package came to be, to the files it names.
func TestGuide_QuotesTheCodeAsItIs(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	raw, err := os.ReadFile(filepath.Join(root, "docs", "adding-an-action.md"))
	require.NoError(t, err)
	page := string(raw)

	excerpts := regexp.MustCompile("(?ms)^```go([^\n]*)\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	require.Len(t, excerpts, strings.Count(page, "```go"), "an excerpt that is not read")
	require.GreaterOrEqual(t, len(excerpts), 10)
	for _, e := range excerpts {
		name := strings.TrimSpace(e[1])
		require.NotEmpty(t, name, "an excerpt of no file: %s", e[2])
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		require.NoError(t, err)
		found := strings.Contains(plain(string(source)), plain(e[2])) // a failure need not print the whole file
		require.True(t, found, "%s does not contain (any more):\n%s", name, e[2])
	}

	paths := regexp.MustCompile("`((?:pkg|docs|test)/[^`\\s]+)`").FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, paths)
	for _, p := range paths {
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(p[1])))
		require.NoError(t, err, "the page names it")
	}

	tests := regexp.MustCompile("`(Test[A-Za-z]+_[A-Za-z]+)`").FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, tests)
	var all strings.Builder
	for _, dir := range []string{".", filepath.Join("..", "actionstest")} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, f := range files {
			source, err := os.ReadFile(f)
			require.NoError(t, err)
			all.Write(source)
		}
	}
	for _, name := range tests {
		require.Contains(t, all.String(), "func "+name[1]+"(t *testing.T)")
	}
}

// plain is text with its white space made equal.
func plain(s string) string { return strings.Join(strings.Fields(s), " ") }
