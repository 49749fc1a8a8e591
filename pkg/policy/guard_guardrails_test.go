package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func TestGuardrails_Evaluate(t *testing.T) {
	rail := func(change func(*policy.Guardrail), effects ...policy.Effect) func(*fixture) {
		return func(f *fixture) {
			g := policy.Guardrail{
				Name: "no-restart", Targets: []string{target, other}, Actions: []string{"docker.restart", "command"},
				SuppressWhile: policy.SuppressWhile{PolicyRunning: "restore"},
			}
			if change != nil {
				change(&g)
			}
			f.in.Guardrails = []policy.Guardrail{{Name: "calm", SuppressWhile: policy.SuppressWhile{PolicyRunning: "never"}}, g}
			f.in.Effects = effects
			f.in.Active = []policy.Active{{Remediation: "r-1", Policy: "restore", Mode: policy.Live}}
		}
	}
	restart := func(tgt string) policy.Effect { return policy.Effect{Uses: "docker.restart", Target: tgt} }
	refused := func(what string) policy.Answer {
		return policy.Answer{
			Code: policy.CodePolicyRunning,
			Text: `guardrail "no-restart" for ` + what + `: remediation r-1 of policy "restore" is under way; lifts when it is closed`,
		}
	}
	runGuard(t, policy.Guardrails{}, []guardCase{
		{name: "none"},
		{"an effect that it is about", rail(nil, restart(target)), refused("docker.restart of docker:local/a")},
		{"the second effect", rail(nil, restart(third), restart(other)), refused("docker.restart of docker:local/b")},
		{"by another means", rail(nil, policy.Effect{Uses: "command", Target: target}), refused("command of docker:local/a")},
		{"another target", rail(nil, restart(third)), policy.Answer{}},
		{"another action", rail(nil, policy.Effect{Uses: "docker.stop", Target: target}), policy.Answer{}},
		{"this action on that target, and that one on this", rail(nil, restart(third), policy.Effect{Uses: "docker.stop", Target: target}), policy.Answer{}},
		{"nothing is changed", rail(nil), policy.Answer{}},
		{
			"any change", rail(func(g *policy.Guardrail) { g.Actions = nil }, policy.Effect{Uses: "docker.stop", Target: target}),
			refused("docker.stop of docker:local/a"),
		},
		{"any target", rail(func(g *policy.Guardrail) { g.Targets = nil }, restart(third)), refused("docker.restart of docker:local/c")},
		{"a target that is not known yet may be one", rail(nil, policy.Effect{Uses: "command"}), refused("command of ")},
		{"its condition does not hold", func(f *fixture) { rail(nil, restart(target))(f); f.in.Active = nil }, policy.Answer{}},
	})
}

func TestGuardrails_ConsentToOneHidesNoOther(t *testing.T) {
	f := newFixture()
	watched(f)
	f.in.Policy.Settings.SuppressWhile = policy.SuppressWhile{}
	said(f, 4*minute, upstream.Change{State: upstream.Unknown, Text: "away"})
	configure(f, func(u *policy.Upstream) { u.MaxSuppression = minute })
	f.restarts(target)
	f.in.Guardrails = []policy.Guardrail{
		{Name: "first", SuppressWhile: policy.SuppressWhile{Upstream: "stellar"}},
		{Name: "second", SuppressWhile: policy.SuppressWhile{PolicyRunning: "restore"}},
	}
	d := policy.DecideGuardrails(f.in)
	require.Equal(t, policy.AwaitApproval, d.Verdict)
	require.Len(t, d.Answers, 1)
	require.Equal(t, "guardrails", d.Guard)

	f.in.Active = []policy.Active{{Remediation: "r-1", Policy: "restore", Mode: policy.Live}}
	f.in.Approved = map[string]string{"guardrails": "alice"}
	require.Equal(t, policy.CodePolicyRunning, policy.DecideGuardrails(f.in).Code)
	f.in.Active = nil
	require.Equal(t, policy.Execute, policy.DecideGuardrails(f.in).Verdict)
}
