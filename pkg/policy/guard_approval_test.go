package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
)

func TestPolicyApproval_Evaluate(t *testing.T) {
	runGuard(t, policy.PolicyApproval{}, []guardCase{
		{name: "not required"},
		{
			"required", func(f *fixture) { f.in.Policy.Settings.Approval.Required = true },
			policy.Answer{Code: policy.CodeApproval, Text: "the policy asks a person for consent to the plan"},
		},
	})
}

func TestDecide_AsksAPersonOnlyWhereNothingElseRefuses(t *testing.T) {
	f := newFixture()
	f.restarts(target)
	f.world(stopped(target, services.ByUnknown))
	f.in.Policy.Settings.Approval.Required = true
	d := policy.Decide(f.in)
	require.Equal(t, policy.AwaitApproval, d.Verdict)
	require.Equal(t, "human_override", d.Guard, "the first that asks")
	require.Contains(t, d.Text, "why is not known")

	f.worked(at(-minute), "r-1", "Q", target, "failed") // cooldown stands behind it
	d = policy.Decide(f.in)
	require.Equal(t, policy.CodeCooldown, d.Code)
	require.Equal(t, at(9*minute), d.Until)
	require.Equal(t, "cooldown", d.Guard)
}

func TestDecide_ConsentSatisfiesTheGuardsThatAsked(t *testing.T) {
	f := newFixture()
	f.restarts(target)
	f.world(stopped(target, services.ByUnknown))
	f.in.Policy.Settings.Approval.Required = true
	f.in.Approved = map[string]string{"human_override": "alice"}
	require.Equal(t, "approval", policy.Decide(f.in).Guard, "consent to one is not consent to the other")

	f.in.Approved["approval"] = "alice"
	for _, d := range []policy.Decision{policy.Decide(f.in), policy.DecideEffect(f.in)} {
		require.Equal(t, policy.Execute, d.Verdict)
		texts := map[string]string{}
		for _, a := range d.Answers {
			require.Equal(t, policy.CodeAllowed, a.Code, a.Guard)
			texts[a.Guard] = a.Text
		}
		require.Equal(t, "approved by alice", texts["approval"])
		require.Equal(t, "approved by alice", texts["human_override"])
		require.Empty(t, texts["settle"])
	}

	f.world(stopped(target, services.ByKill))
	require.Equal(t, policy.CodeStoppedByPerson, policy.Decide(f.in).Code, "consent does not cover what nobody asked about")
	f.in.Approved["cooldown"] = "alice"
	f.world(declared(target, services.Unhealthy))
	f.worked(at(-minute), "r-1", "Q", target, "failed")
	require.Equal(t, policy.CodeCooldown, policy.Decide(f.in).Code, "a refusal is no question")
}
