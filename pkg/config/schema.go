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
	Mode          policy.Mode    `yaml:"mode"`
	Storage       Storage        `yaml:"storage"`
	Replica       string         `yaml:"replica"` // "": made once and kept in the store
	Audit         Audit          `yaml:"audit"`
	Web           access.Config  `yaml:"web"`
	Docker        []Docker       `yaml:"docker"`
	HTTP          []HTTP         `yaml:"http"`
	Alertmanager  *Alertmanager  `yaml:"alertmanager"` // nil: Alertmanager is not asked
	Upstreams     []Upstream     `yaml:"upstreams"`
	Receivers     []Receiver     `yaml:"receivers"`
	TimeIntervals []TimeInterval `yaml:"time_intervals"`
	Defaults      Guards         `yaml:"defaults"`
	GlobalLimits  []Limit        `yaml:"global_limits"`
	BlastRadius   BlastRadius    `yaml:"blast_radius"`
	Flap          Flap           `yaml:"flap"`
	Storm         Storm          `yaml:"storm"`
	Guardrails    []Guardrail    `yaml:"guardrails"`
	Policies      []Policy       `yaml:"policies"`

	Postgres    any `yaml:"postgres" notyet:"true"`
	Redis       any `yaml:"redis" notyet:"true"`
	Commands    any `yaml:"commands" notyet:"true"`
	Prometheus  any `yaml:"prometheus" notyet:"true"`
	Escalations any `yaml:"escalations" notyet:"true"`
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
	Manual        bool                  `yaml:"manual"` // started by a person only
	HoldOnFailure bool                  `yaml:"hold_on_failure"`

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
	Approval        *Approval  `yaml:"approval"`

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
