package upstream

import (
	"slices"
	"time"
)

// Defaults of an upstream's keys; pkg/config applies them.
const (
	DefaultMinImpact             = ImpactMinor
	DefaultMaintenance           = true
	DefaultInterval              = 30 * time.Second
	DefaultStaleAfter            = 3 * time.Minute
	DefaultIgnoreMonitoringAfter = time.Hour
	DefaultResumeAfter           = 10 * time.Minute
	DefaultMaxSuppression        = 6 * time.Hour
)

// maxTimeout of one look at a page.
const maxTimeout = 10 * time.Second

// Config of one upstream.
type Config struct {
	Name       string
	URL        string   // of the page, without the format's path
	Components []string // id, name or group/name; none: the whole page
	MinImpact  string   // the least impact that counts; "" is minor
	// Maintenance says that maintenance counts.
	Maintenance bool
	Interval    time.Duration // between two looks at the page
	StaleAfter  time.Duration // no good answer for this long: unknown
	// IgnoreMonitoringAfter bounds an incident that is only watched while its
	// components are operational; 0: it counts as long as it is unresolved.
	IgnoreMonitoringAfter time.Duration

	// For the guards. Of these the watch uses ResumeAfter alone, see Tracker.
	UnknownAllows  bool
	ResumeAfter    time.Duration
	MaxSuppression time.Duration
}

// Timeout of one look at the page: 10 s, or the interval where that is less.
func (c Config) Timeout() time.Duration {
	if c.Interval > 0 {
		return min(maxTimeout, c.Interval)
	}
	return maxTimeout
}

// sameScope says whether both look at the same page and count the same things, so
// that what was found for one holds for the other.
func (c Config) sameScope(o Config) bool {
	return c.Name == o.Name && c.URL == o.URL && slices.Equal(c.Components, o.Components) &&
		c.MinImpact == o.MinImpact && c.Maintenance == o.Maintenance &&
		c.IgnoreMonitoringAfter == o.IgnoreMonitoringAfter
}
