package config

import (
	"path/filepath"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Duration is a duration as the file has it.
type Duration = strictyaml.Duration

// Config is the whole file. Fields tagged notyet are part of the contract but not
// built: their keys are refused, never accepted and ignored.
type Config struct {
	Mode         policy.Mode   `yaml:"mode"`
	Storage      Storage       `yaml:"storage"`
	Replica      string        `yaml:"replica"` // "": made once and kept in the store
	Audit        Audit         `yaml:"audit"`
	Web          access.Config `yaml:"web"`
	Docker       []Docker      `yaml:"docker"`
	HTTP         []HTTP        `yaml:"http"`
	Alertmanager *Alertmanager `yaml:"alertmanager"` // nil: Alertmanager is not asked
	Receivers    []Receiver    `yaml:"receivers"`
	Defaults     Guards        `yaml:"defaults"`
	GlobalLimits []Limit       `yaml:"global_limits"`
	BlastRadius  BlastRadius   `yaml:"blast_radius"`
	Policies     []Policy      `yaml:"policies"`

	Postgres      any `yaml:"postgres" notyet:"true"`
	Redis         any `yaml:"redis" notyet:"true"`
	Commands      any `yaml:"commands" notyet:"true"`
	Prometheus    any `yaml:"prometheus" notyet:"true"`
	Upstreams     any `yaml:"upstreams" notyet:"true"`
	Escalations   any `yaml:"escalations" notyet:"true"`
	TimeIntervals any `yaml:"time_intervals" notyet:"true"`
	Flap          any `yaml:"flap" notyet:"true"`
	Storm         any `yaml:"storm" notyet:"true"`
	Guardrails    any `yaml:"guardrails" notyet:"true"`
}

// Storage is where the records are kept.
type Storage struct {
	Path     string `yaml:"path"` // of the SQLite file
	Postgres any    `yaml:"postgres" notyet:"true" fix:"remove it and set storage.path"`
}

// Audit is how records are protected.
type Audit struct {
	Key       string `yaml:"key"` // "": plain SHA-256
	Mirror    any    `yaml:"mirror" notyet:"true"`
	Retention any    `yaml:"retention" notyet:"true"`
}

// Docker is one engine and what of it may be touched. The first is the default.
type Docker struct {
	Name      string              `yaml:"name"`
	Host      string              `yaml:"host"`
	Project   string              `yaml:"project"` // Compose project in which services are looked up
	Services  []string            `yaml:"services"`
	DependsOn map[string][]string `yaml:"depends_on"`
	TLS       any                 `yaml:"tls" notyet:"true" fix:"remove it; reach the engine over its socket"`
}

// HTTP is one endpoint that http.get may name.
type HTTP struct {
	Name    string `yaml:"name"`
	Service string `yaml:"service"` // "": none of ours
	URL     string `yaml:"url"`
	Bearer  string `yaml:"bearer"` // a secret
}

// Alertmanager is asked whether an alert still fires. Its HTTP settings are
// Prometheus' own: basic_auth, authorization, tls_config, proxy_url, ….
type Alertmanager struct {
	URL  string                      `yaml:"url"`
	HTTP promconfig.HTTPClientConfig `yaml:",inline"`
}

// UnmarshalYAML sets Prometheus' defaults before the section is read.
func (a *Alertmanager) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Alertmanager
	*a = Alertmanager{HTTP: promconfig.DefaultHTTPClientConfig}
	return unmarshal((*plain)(a))
}

// Receiver is one that a policy escalates to: in this version an escalation is
// recorded and logged under the receiver's name.
type Receiver struct {
	Name         string `yaml:"name"`
	Alertmanager any    `yaml:"alertmanager" notyet:"true" fix:"remove it: an escalation is recorded and logged under the receiver's name"`
	URLs         any    `yaml:"urls" notyet:"true" fix:"remove it: an escalation is recorded and logged under the receiver's name"`
}

// Limit is at most Max remediations with an effect in any window of Per.
type Limit struct {
	Max int      `yaml:"max"`
	Per Duration `yaml:"per"`
}

// Guards are values of guards. A nil field was not given; Limits that are empty
// but not nil were given as `[]`: no limit.
type Guards struct {
	Cooldown    *Duration `yaml:"cooldown"`
	Settle      *Duration `yaml:"settle"`
	Attempts    *int      `yaml:"attempts"`
	Limits      []Limit   `yaml:"limits"`
	MaxAlertAge *Duration `yaml:"max_alert_age"`
	Deadline    *Duration `yaml:"deadline"`
	Breaker     any       `yaml:"breaker" notyet:"true"`
}

// BlastRadius bounds what happens at once.
type BlastRadius struct {
	MaxConcurrent int `yaml:"max_concurrent"`
	MaxUnhealthy  any `yaml:"max_unhealthy" notyet:"true"`
}

// PolicyGuards are a policy's own guards.
type PolicyGuards struct {
	Guards              `yaml:",inline"`
	SuppressWhile       any `yaml:"suppress_while" notyet:"true"`
	ActiveTimeIntervals any `yaml:"active_time_intervals" notyet:"true"`
	MuteTimeIntervals   any `yaml:"mute_time_intervals" notyet:"true"`
	For                 any `yaml:"for" notyet:"true" fix:"remove it; set for in the alerting rule"`
	Approval            any `yaml:"approval" notyet:"true"`
}

// Policy is one entry of policies.
type Policy struct {
	Name          string                `yaml:"name"`
	Runbook       string                `yaml:"runbook"`
	Severity      string                `yaml:"severity"`
	Matchers      strictyaml.Matchers   `yaml:"matchers"`
	AnyMatchers   []strictyaml.Matchers `yaml:"any_matchers"`
	On            string                `yaml:"on"`
	Mode          policy.Mode           `yaml:"mode"`
	Guards        PolicyGuards          `yaml:"guards"`
	Confirm       []Step                `yaml:"confirm"` // nil: not given; empty: opted out
	Steps         []Step                `yaml:"steps"`
	Verify        []Step                `yaml:"verify"`
	OnFailure     []Step                `yaml:"on_failure"`
	Escalate      []string              `yaml:"escalate"`
	Continue      bool                  `yaml:"continue"`
	Manual        any                   `yaml:"manual" notyet:"true"`
	HoldOnFailure any                   `yaml:"hold_on_failure" notyet:"true"`

	// Node is the policy's mapping, for mistakes that are found later.
	Node *yaml.Node `yaml:"-" node:"self"`
}

// Step is one entry of confirm, steps, verify or on_failure. What With means is
// its kind's business.
type Step struct {
	Uses            string     `yaml:"uses"`
	With            *yaml.Node `yaml:"with"` // nil: absent
	ID              string     `yaml:"id"`
	If              string     `yaml:"if"`
	Expect          string     `yaml:"expect"` // ok (also when absent) or failure
	Within          *Duration  `yaml:"within"`
	Timeout         *Duration  `yaml:"timeout"`
	ContinueOnError bool       `yaml:"continue_on_error"`
	OnRefused       string     `yaml:"on_refused"` // end, skip or wait
	Approval        any        `yaml:"approval" notyet:"true"`

	// Node is the step's mapping; strictyaml.Pair finds its keys' places.
	Node *yaml.Node `yaml:"-" node:"self"`
}

// finish fills in what was left out and makes paths relative to the working
// directory. It runs on a configuration without mistakes.
func (c *Config) finish(dir string) {
	c.Storage.Path = resolvePath(dir, c.Storage.Path)
	for i := range c.Web.Tokens {
		c.Web.Tokens[i].File = resolvePath(dir, c.Web.Tokens[i].File)
	}
	if c.Alertmanager != nil {
		c.Alertmanager.HTTP.SetDirectory(filepath.Clean(dir))
	}
	for i := range c.Policies {
		p := &c.Policies[i]
		p.On = or(p.On, policy.OnFiring)
		p.Severity = or(p.Severity, "P4")
		for _, steps := range [][]Step{p.Confirm, p.Steps, p.Verify, p.OnFailure} {
			for j := range steps {
				steps[j].Expect = or(steps[j].Expect, ExpectOK)
				steps[j].OnRefused = or(steps[j].OnRefused, "end")
			}
		}
	}
}

// Values of a step's expect.
const (
	ExpectOK      = "ok"
	ExpectFailure = "failure"
)

func or(value, def string) string {
	if value == "" {
		return def
	}
	return value
}
