package engine

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// ternary is the answer of an `if`: unknown is neither yes nor no.
type ternary int

const (
	no ternary = iota
	yes
	unknown // it reads an unknown or skipped step
	pending // it reads a step that has not run yet
)

// Condition is a compiled `if`: an expression over earlier steps' ids, and
// `labels`, `annotations` and `severity` of the alert.
type Condition struct {
	source  string
	program *vm.Program
	needs   []string
}

// CompileCondition compiles an expression. outputs gives, for each earlier step's
// id, the fields its kind yields beside ok, unknown and text, with example values;
// a step or field that does not exist is an error.
func CompileCondition(source string, outputs map[string]map[string]any) (*Condition, error) {
	env := map[string]any{"labels": map[string]string{}, "annotations": map[string]string{}, "severity": ""}
	for id, fields := range outputs {
		env[id] = fieldsOf(actions.Result{Outputs: fields})
	}
	seen := &identifiers{}
	program, err := expr.Compile(source, expr.Env(env), expr.AsBool(), expr.Patch(seen))
	if err != nil {
		return nil, fmt.Errorf("if %q: %w", source, err)
	}
	c := &Condition{source: source, program: program}
	for _, name := range seen.names {
		if _, ok := outputs[name]; ok && !slices.Contains(c.needs, name) {
			c.needs = append(c.needs, name)
		}
	}
	return c, nil
}

type identifiers struct{ names []string }

// Visit collects the identifiers of an expression.
func (v *identifiers) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		v.names = append(v.names, id.Value)
	}
}

// fieldsOf is a result as expressions and templates see it.
func fieldsOf(r actions.Result) map[string]any {
	out := map[string]any{"ok": r.OK, "unknown": r.Unknown, "text": r.Text}
	for k, v := range r.Outputs {
		if !slices.Contains([]string{"ok", "unknown", "text"}, k) {
			out[k] = v
		}
	}
	return out
}

// eval answers over the results known so far. A failure of the expression itself
// (a field of another type than its example) is unknown: it is not a yes.
func (c *Condition) eval(s actions.Scope) (ternary, string) {
	if c == nil {
		return yes, ""
	}
	env := map[string]any{
		"labels": map[string]string(s.Alert.Labels), "annotations": map[string]string(s.Alert.Annotations),
		"severity": s.Severity,
	}
	for id, r := range s.Steps {
		env[id] = fieldsOf(r)
	}
	for _, id := range c.needs {
		r, ok := s.Steps[id]
		switch {
		case !ok:
			return pending, fmt.Sprintf("step %q has not run yet", id)
		case r.Unknown:
			return unknown, fmt.Sprintf("step %q is unknown: %s", id, r.Text)
		case r.Skipped:
			return unknown, fmt.Sprintf("step %q was skipped: %s", id, r.Text)
		}
	}
	v, err := expr.Run(c.program, env)
	if err != nil {
		return unknown, fmt.Sprintf("if %q: %v", c.source, err)
	}
	if b, ok := v.(bool); ok && b {
		return yes, ""
	}
	return no, fmt.Sprintf("if %q is false", c.source)
}
