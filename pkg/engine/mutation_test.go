package engine

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// guardLists are all lists of guards that the engine asks.
var guardLists = []*[]policy.Guard{
	&policy.Guards, &policy.EffectGuards, &policy.Holding, &policy.AlwaysAfterFirst, &policy.UntouchedAfterFirst, &policy.PlannedGuards,
}

// without replaces a guard by one that allows everything, in all lists; the answer puts
// it back.
func without(name string) (restore func()) {
	saved := make([][]policy.Guard, len(guardLists))
	for i, list := range guardLists {
		saved[i] = *list
		mutated := slices.Clone(*list)
		for j, g := range mutated {
			if g.Name() == name {
				mutated[j] = silent{name}
			}
		}
		*list = mutated
	}
	return func() {
		for i, list := range guardLists {
			*list = saved[i]
		}
	}
}

// silent is a guard that is broken: it never refuses.
type silent struct{ name string }

func (s silent) Name() string                       { return s.name }
func (silent) Evaluate(*policy.Input) policy.Answer { return policy.Answer{} }

// TestMutation_HistoriesNoticeEachBrokenGuard breaks each guard on purpose: the
// invariants of the histories must notice. What they notice with all guards in place
// fails TestEngine_HistoriesKeepTheInvariants.
func TestMutation_HistoriesNoticeEachBrokenGuard(t *testing.T) {
	most := 2000
	if n, err := strconv.Atoi(os.Getenv("REMEDIATOR_MUTATION_HISTORIES")); err == nil {
		most = n
	}
	gen := rapid.Custom(func(rt *rapid.T) []op { return drawOps(rt, 40, 120) })
	for _, g := range policy.Guards {
		t.Run(g.Name(), func(t *testing.T) {
			defer without(g.Name())()
			for seed := range most {
				var v *verdicts
				ops := gen.Example(seed)
				synctest.Test(t, func(*testing.T) { v = live(ops) })
				if v.text != "" {
					t.Logf("noticed by history %d: %s", seed, noticed(v.text))
					if os.Getenv("STORY") != "" {
						t.Log(v.text)
					}
					return
				}
			}
			require.Fail(t, "nobody noticed", "%d histories without the guard %q broke no invariant", most, g.Name())
		})
	}
}

// noticed is what a verdict says was broken.
func noticed(text string) string {
	for line := range strings.Lines(text) {
		if _, message, ok := strings.Cut(line, "Messages:"); ok {
			return strings.TrimSpace(message)
		}
	}
	return text
}
