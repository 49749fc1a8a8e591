package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what remediator is doing when it is asked.
type State struct {
	Remediations map[string]int // not closed, by state: queued, running, awaiting_approval, held
	Waiting      int            // cases that a guard refused and that are decided again
	Quarantined  int            // targets
	Pauses       int
	Upstreams    map[string]UpstreamState // by name
}

// UpstreamState is what is known of one upstream.
type UpstreamState struct {
	State    string    // operational, incident, maintenance, unknown
	LastGood time.Time // zero: no good answer yet
}

var upstreamStates = []string{"operational", "incident", "maintenance", "unknown"}

// stateCollector asks at each scrape.
type stateCollector struct {
	ask                                        func() State
	remediations, waiting, quarantined, pauses *prometheus.Desc
	upstream, lastGood                         *prometheus.Desc
}

// Watch registers metrics of what is going on; ask must be cheap and safe at any time.
func Watch(reg prometheus.Registerer, ask func() State) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("remediator_"+name, help, labels, nil)
	}
	reg.MustRegister(&stateCollector{
		ask:          ask,
		remediations: desc("remediations", "Remediations that are not closed, by state.", "state"),
		waiting:      desc("waiting_cases", "Alerts under a policy that a guard refused and that are decided again."),
		quarantined:  desc("quarantined_targets", "Targets that nothing touches until a person clears them."),
		pauses:       desc("pauses", "Pauses in force."),
		upstream:     desc("upstream_state", "1 for the state in which an upstream is.", "upstream", "state"),
		lastGood:     desc("upstream_last_good_timestamp_seconds", "Time of the last good answer of an upstream's page.", "upstream"),
	})
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.remediations, c.waiting, c.quarantined, c.pauses, c.upstream, c.lastGood} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	s := c.ask()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...) //nolint:promlinter // the name is in Watch
	}
	for _, state := range []string{"queued", "running", "awaiting_approval", "held"} {
		gauge(c.remediations, float64(s.Remediations[state]), state)
	}
	gauge(c.waiting, float64(s.Waiting))
	gauge(c.quarantined, float64(s.Quarantined))
	gauge(c.pauses, float64(s.Pauses))
	for name, u := range s.Upstreams {
		for _, state := range upstreamStates {
			v := 0.0
			if u.State == state {
				v = 1
			}
			gauge(c.upstream, v, name, state)
		}
		if !u.LastGood.IsZero() {
			gauge(c.lastGood, float64(u.LastGood.UnixMilli())/1000, name)
		}
	}
}
