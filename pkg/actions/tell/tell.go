// Package tell holds the steps that tell people: escalate.
package tell

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// escalateConfig is the `with` of escalate.
type escalateConfig struct {
	Reason actions.Text `yaml:"reason"`
	To     []string     `yaml:"to"`
}

// escalate hands over to people and ends the remediation.
type escalate struct{ escalateConfig }

var _ actions.Teller = (*escalate)(nil)

// Kinds are the kinds of this package; receivers are the declared ones.
func Kinds(receivers []string) []actions.Kind {
	return []actions.Kind{{
		Name: "escalate", Class: actions.Tells, Timeout: 10 * time.Second, Outputs: map[string]any{},
		Decode: func(with *yaml.Node) (actions.Step, error) {
			var c escalateConfig
			if err := strictyaml.Decode(with, &c); err != nil {
				return nil, err
			}
			if c.Reason.Raw() == "" {
				return nil, strictyaml.At(with, "add reason: what a person should know and do", "escalate without a reason")
			}
			for i, name := range c.To {
				if !slices.Contains(receivers, name) {
					place := strictyaml.Child(with, "to")
					if place != nil && i < len(place.Content) {
						place = place.Content[i]
					}
					return nil, strictyaml.At(place, strictyaml.Suggest(name, receivers), "undeclared receiver %q", name)
				}
			}
			return &escalate{c}, nil
		},
	}}
}

// Needs implements actions.Step.
func (e *escalate) Needs() []string { return e.Reason.Needs() }

// Targets implements actions.Step: people are no target.
func (*escalate) Targets(actions.Scope) (actions.Targets, error) {
	return actions.Targets{Exact: true}, nil
}

// Tell renders the reason. Where it reads a step that gave no answer the text as
// configured is sent: people are told in any case.
func (e *escalate) Tell(s actions.Scope) (actions.Message, error) {
	text, err := e.Reason.Render(s)
	if err != nil {
		text = e.Reason.Raw() + " (" + err.Error() + ")"
	}
	return actions.Message{To: slices.Clone(e.To), Text: text, Ends: true}, nil
}
