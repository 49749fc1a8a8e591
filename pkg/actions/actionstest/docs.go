package actionstest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// nonsense is a key that resembles none.
var nonsense = strings.Repeat("z", 90)

// Fields are the keys that a kind's `with` takes, sorted: asked of its decoder, so
// that no list can lag behind.
func Fields(t *testing.T, k actions.Kind) []string {
	t.Helper()
	_, err := k.Decode(node(t, "{"+nonsense+": 1}"))
	for _, m := range strictyaml.From(err, nil) {
		if _, list, ok := strings.Cut(m.Fix, "known here: "); ok {
			out := strings.Split(list, ", ")
			slices.Sort(out)
			return out
		}
	}
	require.Failf(t, "no list of fields", "%s: %v", k.Name, err)
	return nil
}

// Documented checks the page of a kind: it exists as dir/<kind>.md, has an example,
// and a table row for every field and every output, and for no other.
func Documented(t *testing.T, dir string, k actions.Kind) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, k.Name+".md"))
	require.NoError(t, err)
	page := string(raw)
	require.True(t, strings.HasPrefix(page, "# "+k.Name+"\n"), "the title is the kind")
	require.Contains(t, page, "```yaml\n")
	require.Contains(t, page, "uses: "+k.Name)
	require.ElementsMatch(t, Fields(t, k), rows(page, "## Fields"), "fields of %s", k.Name)
	var outputs []string
	for name := range k.Outputs {
		outputs = append(outputs, name)
	}
	require.ElementsMatch(t, outputs, rows(page, "## Outputs"), "outputs of %s", k.Name)
}

// rows are the names in the first column of the table under a heading.
func rows(page, heading string) []string {
	_, rest, _ := strings.Cut(page, heading+"\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	out := []string{}
	for line := range strings.Lines(section) {
		if cell, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(cell, "`")
			out = append(out, name)
		}
	}
	return out
}
