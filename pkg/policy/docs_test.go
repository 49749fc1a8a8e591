package policy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
)

const docs = "../../docs/guards"

func TestGuards_AreDocumentedInTheirOrder(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(docs, "README.md"))
	require.NoError(t, err)
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \d+ \| \[(\w+)\]\((\w+)\.md\) \|`).FindAllStringSubmatch(string(readme), -1) {
		require.Equal(t, m[1], m[2], "a guard's page bears its name")
		listed = append(listed, m[1])
	}
	var names []string
	for _, g := range policy.Guards {
		names = append(names, g.Name())
		page, err := os.ReadFile(filepath.Join(docs, g.Name()+".md"))
		require.NoError(t, err, "guard %s has no page", g.Name())
		for _, part := range []string{"# " + g.Name(), "## Example", "## Reasons", "## When it lifts", "## When it is asked"} {
			require.Contains(t, string(page), part+"\n", "page of %s", g.Name())
		}
	}
	require.Equal(t, names, listed, "the table of docs/guards/README.md and policy.Guards")
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	require.NoError(t, err)
	require.Len(t, pages, len(names)+1, "a page without a guard")
}

// Pages say at which moments a guard is asked; the literals decide it.
func TestGuards_PagesSayWhenTheyAreAsked(t *testing.T) {
	moments := map[string][]policy.Guard{
		"At the decision":                      policy.Guards,
		"Before the first effect":              policy.EffectGuards,
		"Before a later effect, holding":       policy.Holding,
		"Before a later effect, on any target": policy.AlwaysAfterFirst,
		"Before a later effect, on new target": policy.UntouchedAfterFirst,
	}
	for _, g := range policy.Guards {
		page, err := os.ReadFile(filepath.Join(docs, g.Name()+".md"))
		require.NoError(t, err)
		for moment, list := range moments {
			answer := "no"
			for _, other := range list {
				if other.Name() == g.Name() {
					answer = "yes"
				}
			}
			require.Regexp(t, `(?m)^- `+moment+`: `+answer+`\b`, string(page), "page of %s", g.Name())
		}
	}
}

func TestCodes_AreListedInTheDocs(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(docs, "README.md"))
	require.NoError(t, err)
	listed := map[policy.Code]policy.Verdict{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(readme), -1) {
		listed[policy.Code(m[1])] = policy.Verdict(m[2])
	}
	require.Equal(t, policy.Codes(), listed)
}
