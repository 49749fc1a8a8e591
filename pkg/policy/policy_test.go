package policy_test

import (
	"testing"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

const (
	target = "docker:local/a"
	other  = "docker:local/b"
	minute = time.Minute
)

var t0 = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// fixture is a decision at t0 about an episode that has been firing for five minutes,
// which every guard allows until the test changes something.
type fixture struct {
	l  *ledger.Ledger
	in *policy.Input
}

func newFixture() *fixture {
	f := &fixture{l: ledger.New()}
	f.firing(at(-5*minute), "e-1", "fp")
	e, _ := f.l.Episode("e-1")
	f.in = &policy.Input{
		Now: t0, Mode: policy.Live, Episode: e, History: f.l.View(ledger.Live),
		Targets: []string{target}, Possible: []string{target},
		Policy: &policy.Policy{Name: "P", On: policy.OnFiring, Settings: policy.Settings{
			Cooldown: 10 * minute, Settle: 15 * minute, Attempts: 2, MaxAlertAge: 4 * time.Hour,
			Limits: []policy.Limit{{Max: 3, Per: time.Hour}},
		}},
		GlobalLimits: []policy.Limit{{Max: 10, Per: time.Hour}},
	}
	return f
}

func (f *fixture) apply(t time.Time, r audit.Record) {
	r.Time = audit.Time{Time: t}
	if r.Mode == "" {
		r.Mode = ledger.Live
	}
	f.l.Apply([]*audit.Record{&r})
}

func (f *fixture) firing(t time.Time, ep, fp string) {
	f.apply(t, audit.Record{
		Type: audit.AlertFiring, Episode: ep,
		Alert: &alert.Alert{Status: alert.Firing, Fingerprint: fp, StartsAt: t},
	})
}

// worked is a remediation of policy P for e-1 with one effect, ended at t.
func (f *fixture) worked(t time.Time, rem, pol, tgt, outcome string) {
	step := 0
	f.apply(t, audit.Record{Type: audit.RemediationDecided, Episode: "e-1", Policy: pol, Remediation: rem, Verdict: "execute", Targets: []string{tgt}})
	f.apply(t, audit.Record{Type: audit.StepStarted, Policy: pol, Remediation: rem, Target: tgt, Step: &step})
	f.apply(t, audit.Record{Type: audit.StepFinished, Policy: pol, Remediation: rem, Target: tgt, Step: &step})
	if outcome != "" {
		f.apply(t, audit.Record{Type: audit.RemediationClosed, Remediation: rem, Outcome: outcome})
	}
}

func (f *fixture) pause(scope string, until time.Time) {
	f.apply(at(-minute), audit.Record{
		Type: audit.ControlPaused, Actor: "user:alice",
		Data: audit.JSON(ledger.PauseData{Scope: scope, Reason: "maintenance", Until: until}),
	})
}

// guardCase is one answer of one guard: the zero want allows.
type guardCase struct {
	name   string
	change func(*fixture)
	want   policy.Answer
}

func runGuard(t *testing.T, g policy.Guard, cases []guardCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture()
			if c.change != nil {
				c.change(f)
			}
			require.Equal(t, c.want, g.Evaluate(f.in))
		})
	}
}

func matchers(t testing.TB, exprs ...string) labels.Matchers {
	t.Helper()
	var out labels.Matchers
	for _, x := range exprs {
		m, err := parse.Matcher(x)
		require.NoError(t, err, x)
		out = append(out, m)
	}
	return out
}
