package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// A daemon that asks before each remediation, with random waits, effects of random
// length and targets, never exceeds a limit in any window, whatever it is asked for.
func TestLimits_NeverExceededInAnyWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture()
		per := policy.Limit{Max: rapid.IntRange(1, 3).Draw(t, "max"), Per: time.Hour}
		global := policy.Limit{Max: rapid.IntRange(1, 5).Draw(t, "global"), Per: 2 * time.Hour}
		f.in.Policy.Settings = policy.Settings{Attempts: 1000, Limits: []policy.Limit{per}, Cooldown: 0, Settle: 0}
		f.in.GlobalLimits = []policy.Limit{global}
		starts := map[string][]time.Time{}
		now := t0
		for i := range rapid.IntRange(1, 40).Draw(t, "asked") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "wait")) * minute)
			tgt := rapid.SampledFrom([]string{target, other}).Draw(t, "target")
			f.in.Now, f.in.Targets, f.in.Possible = now, []string{tgt}, []string{tgt}
			if policy.Decide(f.in).Verdict != policy.Execute {
				continue
			}
			rem, step := fmt.Sprintf("r-%d", i), 0
			f.in.Remediation = rem
			if policy.DecideEffect(f.in).Verdict != policy.Execute {
				t.Fatalf("refused right after it was allowed")
			}
			f.in.Remediation = ""
			f.apply(now, audit.Record{Type: audit.RemediationDecided, Episode: "e-1", Policy: "P", Remediation: rem, Verdict: "execute"})
			f.apply(now, audit.Record{Type: audit.StepStarted, Policy: "P", Remediation: rem, Target: tgt, Step: &step})
			starts[tgt], starts[""] = append(starts[tgt], now), append(starts[""], now)
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "lasts")) * minute)
			f.apply(now, audit.Record{Type: audit.StepFinished, Policy: "P", Remediation: rem, Target: tgt, Step: &step})
		}
		for tgt, times := range starts {
			l := per
			if tgt == "" {
				l = global
			}
			for i := l.Max; i < len(times); i++ {
				require.GreaterOrEqual(t, times[i].Sub(times[i-l.Max]), l.Per, "%q: %d in a window of %s", tgt, l.Max+1, l.Per)
			}
		}
	})
}

// What a guard says about when it lifts is true: not before, and then it does.
func TestGuards_LiftAtUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture()
		for i := range rapid.IntRange(0, 6).Draw(t, "past") {
			ago := time.Duration(rapid.IntRange(0, 90).Draw(t, "ago")) * minute
			f.worked(at(-90*minute).Add(time.Duration(i)*time.Second-ago+90*minute), fmt.Sprintf("r-%d", i),
				rapid.SampledFrom([]string{"P", "Q"}).Draw(t, "policy"), rapid.SampledFrom([]string{target, other}).Draw(t, "target"),
				rapid.SampledFrom([]string{"succeeded", "failed"}).Draw(t, "outcome"))
		}
		f.in.Now = at(2 * minute) // after everything that was recorded
		for _, g := range []policy.Guard{policy.Settle{}, policy.Cooldown{}, policy.Limits{}} {
			a := g.Evaluate(f.in)
			if a.Allows() {
				continue
			}
			require.True(t, a.Until.After(f.in.Now), g.Name())
			in := *f.in
			in.Now = a.Until.Add(-1)
			require.False(t, g.Evaluate(&in).Allows(), "%s lifts early", g.Name())
			in.Now = a.Until
			require.True(t, g.Evaluate(&in).Allows(), "%s does not lift", g.Name())
		}
	})
}
