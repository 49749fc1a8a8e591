package config

import (
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// DefaultHost is where a Docker engine is looked for.
const DefaultHost = "unix:///var/run/docker.sock"

// defaults are the values of design §4 for what a file leaves out.
func defaults() Config {
	return Config{
		Mode:    policy.DryRun,
		Storage: Storage{Path: "data/remediator.db"},
		Defaults: Guards{
			Cooldown:    new(Duration(10 * time.Minute)),
			Settle:      new(Duration(15 * time.Minute)),
			Attempts:    new(2),
			Limits:      []Limit{{Max: 3, Per: Duration(time.Hour)}, {Max: 7, Per: Duration(24 * time.Hour)}},
			MaxAlertAge: new(Duration(4 * time.Hour)),
			Breaker:     Breaker{Failures: new(3), OpenFor: new(Duration(time.Hour))},
			Deadline:    new(Duration(15 * time.Minute)),
		},
		GlobalLimits: []Limit{{Max: 10, Per: Duration(time.Hour)}},
		BlastRadius:  BlastRadius{MaxConcurrent: 1, MaxUnhealthy: 3},
		Flap:         Flap{Changes: 4, Within: Duration(time.Hour), Clear: Duration(15 * time.Minute)},
		Storm:        Storm{Episodes: 50, Within: Duration(time.Minute), Clear: Duration(5 * time.Minute)},
	}
}

// Settings are a policy's guards: its own where given, else the defaults'.
func (c *Config) Settings(p *Policy) policy.Settings {
	d, own := c.Defaults, p.Guards
	limits := d.Limits
	if own.Limits != nil {
		limits = own.Limits
	}
	out := policy.Settings{
		Cooldown:    pick(own.Cooldown, d.Cooldown).Std(),
		Settle:      pick(own.Settle, d.Settle).Std(),
		Attempts:    pick(own.Attempts, d.Attempts),
		Limits:      Limits(limits),
		MaxAlertAge: pick(own.MaxAlertAge, d.MaxAlertAge).Std(),
		Deadline:    pick(own.Deadline, d.Deadline).Std(),
		Breaker: policy.Breaker{
			Failures: pick(own.Breaker.Failures, d.Breaker.Failures),
			OpenFor:  pick(own.Breaker.OpenFor, d.Breaker.OpenFor).Std(),
		},
		Approval:      own.Approval.Settings(),
		SuppressWhile: own.SuppressWhile.Settings(),
		Active:        c.intervals(own.Active),
		Mute:          c.intervals(own.Mute),
	}
	if own.For != nil {
		out.For = own.For.Std()
	}
	return out
}

// Settings of an approval; one that was not given (nil) is not required.
func (a *Approval) Settings() policy.Approval {
	out := policy.Approval{Timeout: DefaultApprovalTimeout}
	if a == nil {
		return out
	}
	out.Required = a.Required
	if a.Timeout != nil {
		out.Timeout = a.Timeout.Std()
	}
	return out
}

// Settings of a condition; one that was not given (nil) never holds.
func (s *SuppressWhile) Settings() policy.SuppressWhile {
	if s == nil {
		return policy.SuppressWhile{}
	}
	return policy.SuppressWhile{Upstream: s.Upstream, Alert: labels.Matchers(s.Alert), PolicyRunning: s.PolicyRunning}
}

// intervals are those of the names, in their order.
func (c *Config) intervals(names []string) []policy.Interval {
	var out []policy.Interval
	for _, nm := range names {
		for _, t := range c.TimeIntervals {
			if t.Name == nm {
				out = append(out, policy.Interval{Name: t.Name, Times: t.Times})
			}
		}
	}
	return out
}

func pick[T any](own, def *T) T {
	if own != nil {
		return *own
	}
	return *def
}

// Limits are limits as the guards take them.
func Limits(in []Limit) []policy.Limit {
	out := make([]policy.Limit, len(in))
	for i, l := range in {
		out[i] = policy.Limit{Max: l.Max, Per: l.Per.Std()}
	}
	return out
}

// Alternatives are a policy's matchers as policy.Policy has them: one list from
// matchers, or those of any_matchers.
func (p *Policy) Alternatives() []labels.Matchers {
	var out []labels.Matchers
	if len(p.Matchers) > 0 {
		out = append(out, labels.Matchers(p.Matchers))
	}
	for _, ms := range p.AnyMatchers {
		out = append(out, labels.Matchers(ms))
	}
	return out
}

// Policy is the part of a policy that decisions need.
func (c *Config) Policy(p *Policy) *policy.Policy {
	return &policy.Policy{
		Name: p.Name, Runbook: p.Runbook, Severity: p.Severity, Mode: p.Mode, On: p.On, Continue: p.Continue,
		Matchers: p.Alternatives(), Settings: c.Settings(p), Escalate: slices.Clone(p.Escalate),
		Manual: p.Manual, HoldOnFailure: p.HoldOnFailure,
	}
}
