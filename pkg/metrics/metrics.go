// Package metrics is what remediator tells Prometheus. Labels are bounded: policy,
// verdict, reason, uses and outcome, never an alert's labels.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/engine"
)

// Metrics implements engine.Metrics.
type Metrics struct {
	decisions *prometheus.CounterVec
	closed    *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	steps     *prometheus.CounterVec
	stepTime  *prometheus.HistogramVec
	effects   *prometheus.CounterVec
	records   *prometheus.CounterVec
	headSeq   prometheus.Gauge
	reloadOK  prometheus.Gauge
	reloadAt  prometheus.Gauge
	config    *prometheus.GaugeVec
	head      *prometheus.GaugeVec
	lastHead  audit.Head
}

var _ engine.Metrics = (*Metrics)(nil)

var buckets = []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

// New registers everything.
func New(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "remediator_" + name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "remediator_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "remediator_" + name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		decisions: counter("decisions_total", "Decisions by policy, verdict and reason; a repetition of the same answer is not counted.", "policy", "verdict", "reason"),
		closed:    counter("remediations_total", "Remediations by policy and outcome.", "policy", "outcome"),
		duration:  histogram("remediation_duration_seconds", "Seconds from decision to close.", "policy"),
		steps:     counter("steps_total", "Checks and actions by kind and outcome.", "uses", "outcome"),
		stepTime:  histogram("step_duration_seconds", "Seconds of checks and actions by kind.", "uses"),
		effects:   counter("effects_total", "Whether remediations helped their alerts.", "policy", "effect"),
		records:   counter("audit_records_total", "Audit records by type.", "type"),
		headSeq:   gauge("audit_head_seq", "Sequence number of the newest audit record."),
		reloadOK:  gauge("config_last_reload_successful", "1 when the last attempt to load the configuration succeeded."),
		reloadAt:  gauge("config_last_reload_success_timestamp_seconds", "Time of the last successful load of the configuration."),
	}
	m.config = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "remediator_config_info", Help: "The configuration in force; always 1."}, []string{"hash", "mode"})
	m.head = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "remediator_audit_head_info", Help: "Replica and hash of the newest audit record, so that a cut tail shows; always 1."}, []string{"replica", "hash"})
	reg.MustRegister(m.config, m.head)
	return m
}

// Decided counts a decision.
func (m *Metrics) Decided(policy, verdict, code string) {
	m.decisions.WithLabelValues(policy, verdict, code).Inc()
}

// Closed counts a remediation that ended.
func (m *Metrics) Closed(policy, outcome string, d time.Duration) {
	m.closed.WithLabelValues(policy, outcome).Inc()
	m.duration.WithLabelValues(policy).Observe(d.Seconds())
}

// Step counts a check or an action.
func (m *Metrics) Step(uses, outcome string, d time.Duration) {
	m.steps.WithLabelValues(uses, outcome).Inc()
	m.stepTime.WithLabelValues(uses).Observe(d.Seconds())
}

// Effect counts an effect on an alert.
func (m *Metrics) Effect(policy, effect string) { m.effects.WithLabelValues(policy, effect).Inc() }

// Committed counts records and shows the newest one's hash. It is called from one
// goroutine, in the order of records.
func (m *Metrics) Committed(recs []*audit.Record) {
	for _, r := range recs {
		m.records.WithLabelValues(string(r.Type)).Inc()
	}
	last := recs[len(recs)-1]
	m.Head(audit.Head{Replica: last.Replica, Seq: last.Seq, Hash: last.Hash})
}

// Head shows the head of the chain.
func (m *Metrics) Head(h audit.Head) {
	m.headSeq.Set(float64(h.Seq))
	m.head.DeleteLabelValues(m.lastHead.Replica, m.lastHead.Hash)
	m.head.WithLabelValues(h.Replica, h.Hash).Set(1)
	m.lastHead = h
}

// Loaded shows the configuration in force, or that the newest was refused.
func (m *Metrics) Loaded(ok bool, hash, mode string, at time.Time) {
	if !ok {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadAt.Set(float64(at.Unix()))
	m.config.Reset()
	m.config.WithLabelValues(hash, mode).Set(1)
}
