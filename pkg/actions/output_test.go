package actions_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/actions"
)

func TestCap_SaysWhatItCutAndCutsBetweenWords(t *testing.T) {
	require.Equal(t, "short", actions.Cap("short", 5))
	require.Equal(t, "[7 bytes cut]… three", actions.Cap("one two three", 8))
	require.Equal(t, "[4 bytes cut]…two three", actions.Cap("one two three", 9))
	require.Equal(t, "[10 bytes cut]…", actions.Cap("abcdefghij", 4), "half a word says nothing, and may be half a secret")
	require.Equal(t, "one …[9 bytes cut]", actions.CapHead("one two three", 6))
	require.Equal(t, "one two…[6 bytes cut]", actions.CapHead("one two three", 7))
}

func TestCap_LeavesNoPartOfASecret(t *testing.T) {
	const secret = "hunter2-hunter2"
	text := strings.Repeat("x ", 10) + secret + strings.Repeat(" y", 10)
	for n := range len(text) {
		for _, got := range []string{actions.Cap(text, n), actions.CapHead(text, n)} {
			if !strings.Contains(got, secret) {
				require.NotContains(t, got, "unter", n)
			}
		}
	}
}

func TestRedactor_TakesSecretsOutOfEverything(t *testing.T) {
	r := actions.NewRedactor([]string{"hunter2", "hunter2-long", "abc"})
	require.Equal(t, "[redacted] [redacted] abc", r.Text("hunter2 hunter2-long abc"))
	in := actions.Result{OK: true, Text: "got hunter2", Outputs: map[string]any{
		"a": "hunter2", "hunter2": 1, "n": 3, "nil": nil, "l": []string{"x hunter2"}, "any": []any{map[string]any{"k": "hunter2"}},
		"m": map[string]string{"k": "hunter2"}, "deep": map[string]any{"x": map[string][]string{"y": {"hunter2"}}},
		"struct": struct{ A string }{"hunter2"}, "bytes": json.RawMessage("1"), "big": strings.Repeat("a ", actions.MaxOutput),
	}}
	out := r.Result(in)
	text, err := json.Marshal(out)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	require.Equal(t, 3, out.Outputs["n"])
	require.Less(t, len(out.Outputs["big"].(string)), actions.MaxOutput+50)
	require.Equal(t, "hunter2", in.Outputs["a"], "the original is not changed")
}
