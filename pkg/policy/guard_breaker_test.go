package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

func TestBreakerOpen_Evaluate(t *testing.T) {
	// failed twice, the second time some time ago
	failed := func(ago time.Duration, more ...func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			*f = fixture{l: ledger.New(), in: f.in}
			f.in.History = f.l.View(ledger.Live)
			f.in.Policy.Settings.Breaker = policy.Breaker{Failures: 2, OpenFor: hour}
			f.closed(at(-ago-minute), "r-1", "P", "failed")
			f.closed(at(-ago), "r-2", "P", "interrupted")
			for _, m := range more {
				m(f)
			}
		}
	}
	active := func(change func(*policy.Active)) func(*fixture) {
		return func(f *fixture) {
			a := policy.Active{Remediation: "r-9", Policy: "P", Mode: policy.Live}
			if change != nil {
				change(&a)
			}
			f.in.Active = []policy.Active{a}
		}
	}
	helped := func(effect string) func(*fixture) {
		return func(f *fixture) {
			f.closed(at(-2*minute), "r-3", "P", "succeeded")
			if effect != "" {
				f.effect(at(-minute), "r-3", effect)
			}
		}
	}
	as := func(rem string) func(*fixture) { return func(f *fixture) { f.in.Remediation = rem } }
	text := func(n, last, rest string) string {
		return "the policy failed " + n + " times in a row (breaker: 2), last at 2026-03-01 " + last + "; " + rest
	}
	open := policy.Answer{
		Code: policy.CodeBreakerOpen, Until: at(50 * minute), TellAt: at(-10 * minute), Text: text("2", "09:50:00Z", "one trial is let through after 1h, at 2026-03-01 10:50:00Z"),
	}
	trial := policy.Answer{Text: text("2", "09:00:00Z", "this is the trial")}
	waits := policy.Answer{Code: policy.CodeBreakerOpen, Text: text("2", "09:00:00Z", "a trial is under way: remediation r-9")}
	pending := policy.Answer{Code: policy.CodeBreakerOpen, Text: text("2", "09:00:00Z", "a trial is under way: whether remediation r-3 helped is not known yet")}
	runGuard(t, policy.BreakerOpen{}, []guardCase{
		{name: "never failed"},
		{"no breaker", failed(10*minute, func(f *fixture) { f.in.Policy.Settings.Breaker.Failures = 0 }), policy.Answer{}},
		{"too few", failed(10*minute, func(f *fixture) { f.in.Policy.Settings.Breaker.Failures = 3 }), policy.Answer{}},
		{"open", failed(10 * minute), open},
		{"open, also for a person's run", failed(10*minute, func(f *fixture) { f.run() }), open},
		{"open, also for a dry run", failed(10*minute, func(f *fixture) { f.in.Mode, f.in.History = policy.DryRun, f.l.View(ledger.DryRun) }), open},
		{"open, whatever trial waits", failed(10*minute, active(nil)), open},
		{"another policy's", failed(10*minute, func(f *fixture) { f.in.Policy.Name = "Q" }), policy.Answer{}},
		{"rested for this instant", failed(hour), trial},
		{"rested, all but", failed(hour - 1), policy.Answer{
			Code: policy.CodeBreakerOpen, Until: at(1), TellAt: at(-hour + 1), Text: text("2", "09:00:00Z", "one trial is let through after 1h, at 2026-03-01 10:00:00Z"),
		}},
		{"the trial is under way", failed(hour, active(nil)), waits},
		{"the trial itself", failed(hour, active(nil), as("r-9")), trial},
		{"another policy works", failed(hour, active(func(a *policy.Active) { a.Policy = "Q" })), trial},
		{"one waits for consent", failed(hour, active(func(a *policy.Active) { a.Asking = true })), trial},
		{"a rehearsal", failed(hour, active(func(a *policy.Active) { a.Mode = policy.DryRun })), trial},
		{"a dry run says what live would", failed(hour, active(nil), func(f *fixture) { f.in.Mode = policy.DryRun }), waits},
		{"the trial ended well, whether it helped is not known", failed(hour, helped("")), pending},
		{"the same, asked by that one", failed(hour, helped(""), as("r-3")), trial},
		{"the trial helped", failed(hour, helped("effective")), policy.Answer{}},
		{"the trial did not help", failed(hour, helped("ineffective")), policy.Answer{
			Code: policy.CodeBreakerOpen, Until: at(59 * minute), TellAt: at(-minute), Text: text("3", "09:59:00Z", "one trial is let through after 1h, at 2026-03-01 10:59:00Z"),
		}},
		{"failed in the future", failed(-2 * hour), policy.Answer{
			Code: policy.CodeBreakerOpen, Until: at(hour), TellAt: at(0), Text: text("2", "10:00:00Z", "one trial is let through after 1h, at 2026-03-01 11:00:00Z"),
		}},
	})

	f := newFixture()
	failed(hour)(f)
	d := policy.Decide(f.in)
	require.Equal(t, policy.Execute, d.Verdict, "the trial is allowed, with a word about it: %s", d.Text)
}
