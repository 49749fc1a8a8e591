package problem_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

func TestProblem_ExtensionsSurviveAndReplaceNothing(t *testing.T) {
	p := problem.New(409, "refused", "the guards refused").Extend(map[string]any{"verdict": "defer", "status": 200, "code": "fine", "detail": "all is well"})
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"about:blank","title":"Conflict","status":409,"detail":"the guards refused","code":"refused","verdict":"defer"}`, string(b))

	var back problem.Problem
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, *p, back)
	var verdict string
	require.True(t, back.Extension("verdict", &verdict))
	require.Equal(t, "defer", verdict)
	require.False(t, back.Extension("code", &verdict), "its own members are no extensions")
	require.False(t, back.Extension("verdict", new(int)))
}

func TestProblem_WhatIsNoObjectExtendsNothing(t *testing.T) {
	for _, v := range []any{nil, "text", []int{1}, make(chan int)} {
		p := problem.New(500, "internal", "it broke").Extend(v)
		require.Empty(t, p.Extensions)
	}
	require.Error(t, json.Unmarshal([]byte(`[]`), &problem.Problem{}))
}
