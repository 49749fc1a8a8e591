package actions

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func samplePlan() Plan {
	return Plan{
		Uses: "docker.restart", Targets: []string{"docker:local/indexer"}, Text: "restart indexer",
		Objects: []Object{{Kind: "container", ID: "aa", Name: "p-indexer-1", Detail: map[string]any{"state": "running"}}},
		Args:    map[string]any{"timeout": "10s", "b": 1},
	}
}

func TestHash_IsWhatAPersonConsentsTo(t *testing.T) {
	base := Hash([]Plan{samplePlan()})
	require.Regexp(t, "^[0-9a-f]{64}$", base)

	same := map[string]func(*Plan){
		"text":        func(p *Plan) { p.Text = "other" },
		"detail":      func(p *Plan) { p.Objects[0].Detail = map[string]any{"state": "exited"} },
		"conditional": func(p *Plan) { p.Conditional = true },
	}
	for name, change := range same {
		p := samplePlan()
		change(&p)
		require.Equal(t, base, Hash([]Plan{p}), name)
	}
	differ := map[string]func(*Plan){
		"uses":        func(p *Plan) { p.Uses = "docker.stop" },
		"target":      func(p *Plan) { p.Targets[0] = "docker:local/api" },
		"object kind": func(p *Plan) { p.Objects[0].Kind = "image" },
		"object id":   func(p *Plan) { p.Objects[0].ID = "bb" },
		"object name": func(p *Plan) { p.Objects[0].Name = "x" },
		"argument":    func(p *Plan) { p.Args["timeout"] = "11s" },
		"no objects":  func(p *Plan) { p.Objects = nil },
	}
	seen := map[string]string{base: "base"}
	for name, change := range differ {
		p := samplePlan()
		change(&p)
		h := Hash([]Plan{p})
		require.Empty(t, seen[h], name)
		seen[h] = name
	}
	require.NotEqual(t, base, Hash([]Plan{samplePlan(), samplePlan()}))
	require.NotEqual(t, base, Hash(nil))
}

func TestHash_NilAndEmptyAreTheSame(t *testing.T) {
	require.Equal(t, Hash([]Plan{{Uses: "a"}}),
		Hash([]Plan{{Uses: "a", Targets: []string{}, Objects: []Object{}, Args: map[string]any{}}}))
	require.Equal(t, Hash(nil), Hash([]Plan{}))
}

func TestHash_ArgumentsWithoutJSONStillDiffer(t *testing.T) {
	a := Plan{Uses: "a", Args: map[string]any{"x": complex(1, 2)}}
	b := Plan{Uses: "a", Args: map[string]any{"x": complex(1, 3)}}
	require.NotEqual(t, Hash([]Plan{a}), Hash([]Plan{b}))
}
