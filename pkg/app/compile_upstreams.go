package app

import (
	"slices"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// upstreamConfigs are the upstreams of the file, in its order, as the watch takes
// them.
func upstreamConfigs(f *config.File) []upstream.Config {
	var out []upstream.Config
	for _, u := range f.Config.Upstreams {
		out = append(out, upstream.Config{
			Name: u.Name, URL: u.StatusPage, Components: slices.Clone(u.Components),
			MinImpact: u.MinImpact, Maintenance: u.Maintenance,
			Interval: u.Interval.Std(), StaleAfter: u.StaleAfter.Std(), IgnoreMonitoringAfter: u.IgnoreMonitoringAfter.Std(),
			UnknownAllows: u.Unknown == config.UnknownAllow, ResumeAfter: u.ResumeAfter.Std(), MaxSuppression: u.MaxSuppression.Std(),
		})
	}
	return out
}
