package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/config/configtest"
)

// Aliases of aliases stand for 10^9 values here. They are in a `with`, which is not
// decoded, and something else is wrong, so that soundness is looked into.
func TestLoad_JudgesEachAnchorOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("modus: live\npolicies:\n")
	for i := range 10 {
		before := "x"
		if i > 0 {
			before = fmt.Sprintf("*a%d", i-1)
		}
		fmt.Fprintf(&b, "- {name: p%d, matchers: [a=p%d], steps: [{uses: diagnose, with: {x: &a%d [%s]}}]}\n",
			i, i, i, strings.TrimSuffix(strings.Repeat(before+", ", 10), ", "))
	}
	_, err := config.Load(write(t, b.String()), config.Options{Env: configtest.Env})
	require.ErrorContains(t, err, `unknown key "modus"`)
	require.ErrorContains(t, err, "1 mistake in")
}

func TestLoad_FindsTheHiddenPolicyAmongMany(t *testing.T) {
	var b strings.Builder
	b.WriteString("policies:\n")
	policy := func(name, matchers string) {
		fmt.Fprintf(&b, "- {name: %s, %s, steps: [{uses: diagnose}]}\n", name, matchers)
	}
	for i := range 3000 {
		policy(fmt.Sprintf("p%d", i), fmt.Sprintf(`matchers: ['alertname="A%d"', 'severity="high"']`, i))
	}
	policy("wide", `any_matchers: [['alertname="B"'], ['alertname="C"']]`)
	policy("half-hidden", `any_matchers: [['alertname="B"'], ['alertname="D"']]`)
	policy("resolved", `on: resolved, matchers: ['alertname="B"']`)
	policy("continues", `continue: true, matchers: ['alertname="E"']`)
	policy("reached", `matchers: ['alertname="E"']`)
	policy("hidden", `any_matchers: [['job="x"', 'alertname="C"'], ['alertname="B"']]`)
	_, err := config.Load(write(t, b.String()), config.Options{Env: configtest.Env})
	require.ErrorContains(t, err, `policy "hidden" is never reached: "wide" on line 3002 matches all of its alerts first`)
	require.ErrorContains(t, err, "1 mistake in")
}
