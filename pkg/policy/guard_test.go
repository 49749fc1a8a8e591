package policy_test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestDecide_AllowsAndRecordsEveryGuardInOrder(t *testing.T) {
	d := policy.Decide(newFixture().in)
	require.Equal(t, policy.Execute, d.Verdict)
	require.Equal(t, policy.CodeAllowed, d.Code)
	require.Empty(t, d.Guard)
	var names []string
	for _, a := range d.Answers {
		names = append(names, a.Guard)
		require.Equal(t, policy.CodeAllowed, a.Code, a.Guard)
	}
	require.Equal(t, []string{
		"paused", "self", "mode", "resolved", "duplicate", "stale", "for",
		"time_interval", "suppress_while", "guardrails", "dependency", "quarantine", "human_override",
		"target_busy", "settle", "cooldown", "attempts", "limits", "flap", "breaker", "blast_radius", "storm", "approval",
	}, names)
}

func TestDecide_FirstRefusalIsTheReason(t *testing.T) {
	f := newFixture()
	f.worked(at(-minute), "r-1", "P", target, "succeeded") // settle, cooldown
	d := policy.Decide(f.in)
	require.Equal(t, "settle", d.Guard)
	require.Equal(t, policy.CodeSettling, d.Code)
	require.Equal(t, policy.Defer, d.Verdict)
	require.Equal(t, at(14*minute), d.Until)
	require.Len(t, d.Answers, len(policy.Guards), "the others are recorded all the same")
	require.Equal(t, policy.CodeCooldown, d.Answers[15].Code)
}

func TestDecide_TwoMoments(t *testing.T) {
	f := newFixture()
	f.worked(at(-minute), "r-1", "P", target, "failed")
	f.in.Remediation, f.in.StartedMode = "r-2", policy.Live
	require.Equal(t, policy.CodeCooldown, policy.DecideEffect(f.in).Code)
	require.Equal(t, policy.CodeCooldown, policy.DecideAfterFirst(f.in, f.in.Targets).Code)
	require.Equal(t, policy.Execute, policy.DecideHold(f.in).Verdict, "a target's counters never hold what has begun")

	f.in.Mode = policy.DryRun
	require.Equal(t, policy.CodePaused, policy.DecideHold(f.in).Code)

	f = newFixture()
	f.in.Episode.Open = false
	require.Equal(t, policy.CodeResolved, policy.DecideEffect(f.in).Code, "a resolution stops the first effect")
	require.Equal(t, policy.Execute, policy.DecideAfterFirst(f.in, f.in.Targets).Verdict, "and none after it")

	f = newFixture()
	f.in.Policy.Settings.Attempts = 0
	f.in.Busy = map[string]string{target: "r-9"}
	require.Equal(t, policy.Execute, policy.DecideEffect(f.in).Verdict, "policy guards are asked at the decision only")
}

func TestDecideAfterFirst_TouchedTargetsAreAskedAboutLess(t *testing.T) {
	f := newFixture()
	f.worked(at(-minute), "r-1", "P", target, "failed")
	f.in.Remediation, f.in.Targets = "r-2", []string{target, other}
	require.Equal(t, policy.Execute, policy.DecideAfterFirst(f.in, []string{other}).Verdict)
	require.Equal(t, policy.Execute, policy.DecideAfterFirst(f.in, nil).Verdict)
	require.Equal(t, policy.CodeCooldown, policy.DecideAfterFirst(f.in, []string{target, other}).Code)
	require.Equal(t, []string{target, other}, f.in.Targets, "the input stays as it is")

	f.in.SelfTargets = map[string]bool{target: true}
	d := policy.DecideAfterFirst(f.in, nil)
	require.Equal(t, policy.CodeSelf, d.Code, "of touched targets too")
	var names []string
	for _, a := range d.Answers {
		names = append(names, a.Guard)
	}
	require.Equal(t, []string{"self", "guardrails", "dependency", "quarantine", "human_override", "settle", "cooldown", "limits"}, names)
}

func TestDecideEffect_AsksWhatMayHaveChanged(t *testing.T) {
	var names []string
	for _, a := range policy.DecideEffect(newFixture().in).Answers {
		names = append(names, a.Guard)
	}
	require.Equal(t, []string{
		"paused", "self", "mode", "resolved", "time_interval", "suppress_while", "guardrails", "dependency", "quarantine",
		"human_override", "settle", "cooldown", "limits", "approval",
	}, names)
}

func TestDecide_DryRunSaysWhatLiveWould(t *testing.T) {
	f := newFixture()
	f.worked(at(-minute), "r-1", "P", target, "failed")
	live := policy.Decide(f.in)
	f.in.Mode, f.in.History = policy.DryRun, f.l.View(string(policy.DryRun))
	dry := policy.Decide(f.in)
	require.Equal(t, live.Verdict, dry.Verdict)
	require.Equal(t, live.Code, dry.Code)
	require.Equal(t, live.Until, dry.Until)
}

func TestCodes_AreTheContractsWithOneVerdictEach(t *testing.T) {
	want := map[policy.Verdict][]policy.Code{
		policy.Ignore: {"no_policy", "resolved", "duplicate", "joined", "stale", "own_alert"},
		policy.Defer: {
			"too_young", "target_busy", "settling", "cooldown", "rate_limit", "breaker_open", "blast_radius",
			"flapping", "storm", "alert_unknown",
		},
		policy.AwaitApproval: {"approval"},
		policy.Execute:       {"allowed"},
		policy.Suppress: {
			"paused", "self", "time_interval", "upstream_incident", "upstream_unknown", "alert_firing", "policy_running",
			"dependency", "quarantined", "stopped_by_person", "attempts", "silenced", "not_confirmed", "unconfirmable", "target_not_found",
		},
	}
	seen := map[policy.Code]bool{}
	for v, codes := range want {
		for _, c := range codes {
			require.False(t, seen[c], "%s is listed twice", c)
			seen[c] = true
			require.Equal(t, v, policy.VerdictOf(c), c)
			require.Equal(t, v, policy.Reasoned(c, "why").Verdict)
		}
	}
	require.Len(t, policy.Codes(), len(seen), "a code outside the contract")
	require.Equal(t, policy.Suppress, policy.VerdictOf("made_up"), "what nobody knows never runs")
}

// The constants are read from the source: two with one value compile, and mean that
// a metric cannot tell them apart.
func TestCodes_AreDistinctInTheSource(t *testing.T) {
	src, err := os.ReadFile("verdict.go")
	require.NoError(t, err)
	seen := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(Code\w+)\s+Code = "(\w+)"`).FindAllStringSubmatch(string(src), -1) {
		require.Empty(t, seen[m[2]], "%s and %s are both %q", m[1], seen[m[2]], m[2])
		seen[m[2]] = m[1]
	}
	require.Len(t, seen, len(policy.Codes()), "each constant has its verdict")
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(map[bool]string{true: "no history", false: "100,000 remediations"}[n == 0], func(b *testing.B) {
			f := newFixture()
			for i := range n {
				// A week's worth, most of it on other targets; the limits look at a day.
				tgt := other
				if i%100 == 0 {
					tgt = target
				}
				f.worked(at(-7*24*time.Hour+time.Duration(i)*6*time.Second), "r-"+time.Duration(i).String(), "Q", tgt, "failed")
			}
			f.in.Policy.Settings.Limits = []policy.Limit{{Max: 3, Per: time.Hour}, {Max: 7, Per: 24 * time.Hour}}
			b.ReportAllocs()
			for b.Loop() {
				policy.Decide(f.in)
			}
		})
	}
}
