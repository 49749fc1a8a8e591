package policy

import (
	"fmt"
	"slices"
)

// Guardrails are bound to what is done to which target: they hold whatever policy
// asks for it and by whatever means.
type Guardrails struct{}

// Name of the guard.
func (Guardrails) Name() string { return "guardrails" }

// Evaluate refuses while the condition of a guardrail holds that one of the effects
// falls under.
func (Guardrails) Evaluate(in *Input) Answer {
	var found []Answer
	for _, g := range in.Guardrails {
		i := slices.IndexFunc(in.Effects, g.covers)
		if i < 0 {
			continue
		}
		if a := suppressed(in, g.SuppressWhile); !a.Allows() {
			a.Text = fmt.Sprintf("guardrail %q for %s of %s: %s", g.Name, in.Effects[i].Uses, in.Effects[i].Target, a.Text)
			found = append(found, a)
		}
	}
	return firmest(found...)
}

// covers says whether an effect falls under the guardrail. Without targets it is
// about any, without actions about any change. An effect whose target is not known
// falls under all: it may be one of them.
func (g Guardrail) covers(e Effect) bool {
	return (len(g.Targets) == 0 || e.Target == "" || slices.Contains(g.Targets, e.Target)) &&
		(len(g.Actions) == 0 || slices.Contains(g.Actions, e.Uses))
}
