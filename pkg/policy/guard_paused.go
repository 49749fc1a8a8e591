package policy

import "fmt"

// Paused is the kill switch: global, per policy or per target.
type Paused struct{}

// Name of the guard.
func (Paused) Name() string { return "paused" }

// Evaluate refuses while a pause covers the policy or one of the targets.
func (Paused) Evaluate(in *Input) Answer {
	p, ok := in.History.Paused(in.Now, in.Policy.Name, in.Targets)
	if !ok {
		return Answer{}
	}
	text := fmt.Sprintf("%s is paused by %s", p.Scope, p.Actor)
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return Answer{Code: CodePaused, Text: text, Until: p.Until}
}
