package config

import (
	"errors"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// Guards are values of guards that defaults and policies share. A nil field was not
// given; Limits that are empty but not nil were given as `[]`: no limit.
type Guards struct {
	Cooldown    *Duration `yaml:"cooldown"`
	Settle      *Duration `yaml:"settle"`
	Attempts    *int      `yaml:"attempts"`
	Limits      []Limit   `yaml:"limits"`
	MaxAlertAge *Duration `yaml:"max_alert_age"`
	Breaker     Breaker   `yaml:"breaker"`
	Deadline    *Duration `yaml:"deadline"`
}

// Breaker stops a policy that failed so many times in a row. A nil field was not
// given; Failures of 0: there is none.
type Breaker struct {
	Failures *int      `yaml:"failures"`
	OpenFor  *Duration `yaml:"open_for"`
}

// PolicyGuards are a policy's own guards: any of the defaults', and these.
type PolicyGuards struct {
	Guards        `yaml:",inline"`
	SuppressWhile *SuppressWhile `yaml:"suppress_while"`
	Active        []string       `yaml:"active_time_intervals"` // names; none: always
	Mute          []string       `yaml:"mute_time_intervals"`   // names
	For           *Duration      `yaml:"for"`
	Approval      *Approval      `yaml:"approval"`
}

// SuppressWhile is a condition under which nothing is done; its keys are OR.
type SuppressWhile struct {
	Upstream      string              `yaml:"upstream"`       // the name of one
	Alert         strictyaml.Matchers `yaml:"alert"`          // all of them match one alert that fires
	PolicyRunning string              `yaml:"policy_running"` // the name of a policy
}

// DefaultApprovalTimeout is how long consent is waited for.
const DefaultApprovalTimeout = 30 * time.Minute

// Approval asks a person for consent, of a whole policy or of one step. It is
// written as a mapping, or as true or false.
type Approval struct {
	Required bool      `yaml:"required"`
	Timeout  *Duration `yaml:"timeout"` // nil: DefaultApprovalTimeout
}

// UnmarshalYAML reads a mapping, or a lone true or false for `required`.
func (a *Approval) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&a.Required) == nil {
		return nil
	}
	const fix = "write true, false, or {required: true, timeout: 30m}"
	var m struct {
		Required *bool     `yaml:"required"`
		Timeout  *Duration `yaml:"timeout"`
	}
	err := unmarshal(&m)
	if ms := (strictyaml.Mistakes{}); errors.As(err, &ms) {
		for i := range ms {
			if strings.Contains(ms[i].Message, notMapping) {
				ms[i].Message, ms[i].Fix = strings.Replace(ms[i].Message, notMapping, "must be true, false or a mapping, ", 1), fix
			}
		}
		return ms
	}
	if m.Required == nil {
		return strictyaml.Mistake{Message: "it is not said whether consent is required", Fix: "add required: true"}
	}
	a.Required, a.Timeout = *m.Required, m.Timeout
	return err
}

// notMapping is how strictyaml begins to say that a value is no mapping.
const notMapping = "must be a mapping of keys to values, "

// Upstream is a third party whose status page is watched.
type Upstream struct {
	Name                  string   `yaml:"name"`
	StatusPage            string   `yaml:"statuspage"` // the page's URL
	Components            []string `yaml:"components"` // id, name or group/name; none: the whole page
	MinImpact             string   `yaml:"min_impact"`
	Maintenance           bool     `yaml:"maintenance"` // maintenance counts
	Interval              Duration `yaml:"interval"`
	StaleAfter            Duration `yaml:"stale_after"`
	Unknown               string   `yaml:"unknown"` // suppress or allow
	IgnoreMonitoringAfter Duration `yaml:"ignore_monitoring_after"`
	ResumeAfter           Duration `yaml:"resume_after"`
	MaxSuppression        Duration `yaml:"max_suppression"`
}

// Values of an upstream's unknown: what an unknown state means.
const (
	UnknownSuppress = "suppress"
	UnknownAllow    = "allow"
)

// UnmarshalYAML sets the defaults before an entry is read.
func (u *Upstream) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Upstream
	*u = Upstream{
		MinImpact: upstream.DefaultMinImpact, Maintenance: upstream.DefaultMaintenance, Unknown: UnknownSuppress,
		Interval: Duration(upstream.DefaultInterval), StaleAfter: Duration(upstream.DefaultStaleAfter),
		IgnoreMonitoringAfter: Duration(upstream.DefaultIgnoreMonitoringAfter),
		ResumeAfter:           Duration(upstream.DefaultResumeAfter), MaxSuppression: Duration(upstream.DefaultMaxSuppression),
	}
	return unmarshal((*plain)(u))
}

// Flap is when episodes of one fingerprint follow each other too often. Changes of
// 0: never.
type Flap struct {
	Changes int      `yaml:"changes"`
	Within  Duration `yaml:"within"`
	Clear   Duration `yaml:"clear"`
}

// Storm is too many new episodes at once. Episodes of 0: never.
type Storm struct {
	Episodes int      `yaml:"episodes"`
	Within   Duration `yaml:"within"`
	Clear    Duration `yaml:"clear"`
}

// BlastRadius bounds what happens at once.
type BlastRadius struct {
	MaxConcurrent int `yaml:"max_concurrent"` // remediations
	MaxUnhealthy  int `yaml:"max_unhealthy"`  // unhealthy root causes beside what a remediation is about
}

// Guardrail is a guard bound to what is done to which target. Without services and
// targets it is about any target, without actions about any change.
type Guardrail struct {
	Name          string         `yaml:"name"`
	Services      []string       `yaml:"services"`
	Targets       []string       `yaml:"targets"` // docker:ENGINE/SERVICE, or another declared one
	Actions       []string       `yaml:"actions"` // kinds
	SuppressWhile *SuppressWhile `yaml:"suppress_while"`

	// Node is the guardrail's mapping, for mistakes that are found later.
	Node *yaml.Node `yaml:"-" node:"self"`
}
