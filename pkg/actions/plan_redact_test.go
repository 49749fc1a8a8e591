package actions

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedactor_PlanIsShownWithoutSecretsAndAppliedWithThem(t *testing.T) {
	p := Plan{
		Uses: "http.request", Text: "POST /hooks/swordfish", Args: map[string]any{"path": "/hooks/swordfish", "n": 3},
		Objects: []Object{{Kind: "request", ID: "POST http://a/hooks/swordfish", Detail: map[string]any{"deep": []any{"swordfish"}}}},
	}
	shown := NewRedactor([]string{"swordfish"}).Plan(p)
	require.NotContains(t, Hash([]Plan{shown})+shown.Text+shown.Objects[0].ID, "swordfish")
	require.Equal(t, map[string]any{"path": "/hooks/" + Redacted, "n": 3}, shown.Args)
	require.Equal(t, map[string]any{"deep": []any{Redacted}}, shown.Objects[0].Detail)
	require.Equal(t, "POST http://a/hooks/swordfish", p.Objects[0].ID, "the plan itself is untouched")
}
