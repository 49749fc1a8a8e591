package config

import (
	"fmt"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// Warnings are sentences about what is allowed but probably not meant.
func (f *File) Warnings() []string {
	c := &f.Config
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c.Alertmanager == nil {
		warn("alertmanager.url is not set: whether an alert still fires is not asked, confirm decides alone")
	}
	if len(c.Policies) == 0 {
		warn("there are no policies: alerts are recorded and nothing is done")
	}
	if len(c.Defaults.Limits) == 0 {
		warn("defaults.limits is empty: nothing bounds how often a target is acted upon")
	}
	if len(c.GlobalLimits) == 0 {
		warn("global_limits is empty: nothing bounds how often remediator acts")
	}
	for i := range c.Policies {
		p := &c.Policies[i]
		if p.Guards.Limits != nil && len(p.Guards.Limits) == 0 {
			warn("policy %q: guards.limits is empty: nothing bounds how often it acts on a target", p.Name)
		}
		if p.Mode == policy.Live && c.Mode == policy.DryRun {
			warn("policy %q is live but the file's mode is dry-run: it stays dry, the stricter wins", p.Name)
		}
	}
	for _, u := range c.Upstreams {
		if !c.uses(u.Name) {
			warn("upstream %q is used by no suppress_while and no policy: it is watched for nothing", u.Name)
		}
	}
	return out
}

// uses says whether anything depends on an upstream: a policy's guard, a guardrail,
// or a policy on the alert by which it speaks.
func (c *Config) uses(name string) bool {
	for _, g := range c.Guardrails {
		if g.SuppressWhile.Settings().Upstream == name {
			return true
		}
	}
	impacts := []string{upstream.ImpactNone, upstream.ImpactMaintenance, upstream.ImpactMinor, upstream.ImpactMajor, upstream.ImpactCritical}
	for i := range c.Policies {
		p := &c.Policies[i]
		if p.Guards.SuppressWhile.Settings().Upstream == name {
			return true
		}
		for _, impact := range impacts {
			if c.Policy(p).Matches(map[string]string{"alertname": "UpstreamIncident", "upstream": name, "impact": impact}) {
				return true
			}
		}
	}
	return false
}
