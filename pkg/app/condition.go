package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// alertNames are what an `if` may read beside steps.
var alertNames = []string{"labels", "annotations", "severity"}

// condition compiles a step's `if`; nil where there is none or it is a mistake.
func (c *compiler) condition(in *config.Step, known outputs) *engine.Condition {
	if in.If == "" {
		return nil
	}
	_, node := strictyaml.Pair(in.Node, "if")
	tree, err := parser.Parse(in.If)
	if err != nil {
		c.badCondition(node, err, known)
		return nil
	}
	read := &reads{}
	ast.Walk(&tree.Node, read)
	for _, name := range read.names {
		if known.broken[name] {
			return nil // that step's own mistake is told
		}
	}
	for _, m := range read.members {
		if fields, ok := known.of[m.id]; ok && !slices.Contains(fieldNames(fields), m.field) {
			c.found = append(c.found, inside(node, m.at, len(m.field), strictyaml.Suggest(m.field, fieldNames(fields)),
				"`if` reads %s.%s: step %q has no field %q", m.id, m.field, m.id, m.field))
			return nil
		}
	}
	// The engine's own environment cannot tell a field that does not exist from one
	// that is not there yet; this one knows the fields' types.
	if _, err := expr.Compile(in.If, expr.Env(typesOf(known)), expr.AsBool()); err != nil {
		c.badCondition(node, err, known)
		return nil
	}
	cond, err := engine.CompileCondition(in.If, known.of)
	if err != nil {
		c.badCondition(node, err, known)
		return nil
	}
	return cond
}

// badCondition places what the expression language says.
func (c *compiler) badCondition(node *yaml.Node, err error, known outputs) {
	at := &file.Error{Message: oneLine(err)}
	_ = errors.As(err, &at)
	fix := `write an expression that is true or false over earlier steps and labels, annotations and severity, such as "not pg.ok"` + known.list()
	width := at.To - at.From
	if name, ok := strings.CutPrefix(at.Message, "unknown name "); ok {
		fix, width = known.suggest(name, alertNames...), len(name)
	}
	c.found = append(c.found, inside(node, at.From, width, fix, "`if` %s: %s", strictyaml.Shown(node), at.Message))
}

// inside is a mistake at a part of a text, offset and width in characters. Where
// the source may differ from the text (escapes, several lines), it is at all of it.
func inside(n *yaml.Node, offset, width int, fix, format string, args ...any) strictyaml.Mistake {
	m := strictyaml.At(n, fix, format, args...)
	quote := 0
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		quote = 1
	}
	if strictyaml.IsExpanded(n) || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || strings.ContainsAny(n.Value, "\\\"\n") ||
		n.Style&yaml.SingleQuotedStyle != 0 && strings.Contains(n.Value, "'") {
		return m
	}
	m.Column, m.Width = m.Column+quote+offset, max(width, 1)
	return m
}

// typesOf is the environment of an expression, by type: the fields of a step
// besides those of its kind do not exist.
func typesOf(known outputs) map[string]any {
	env := map[string]any{"labels": map[string]string{}, "annotations": map[string]string{}, "severity": ""}
	for id, fields := range known.of {
		step := types.Map{"ok": types.Bool, "unknown": types.Bool, "text": types.String}
		for name, example := range fields {
			step[name] = types.TypeOf(example)
		}
		env[id] = step
	}
	return env
}

// fieldNames are the fields that a step yields, given those of its kind.
func fieldNames(fields map[string]any) []string {
	names := append(slices.Collect(maps.Keys(fields)), "ok", "unknown", "text")
	slices.Sort(names)
	return slices.Compact(names)
}

// reads collects what an expression reads.
type reads struct {
	names   []string
	members []member
}

// member is a field that is read of a step; at is where, in characters.
type member struct {
	id, field string
	at        int
}

// Visit implements ast.Visitor.
func (r *reads) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		r.names = append(r.names, n.Value)
	case *ast.MemberNode:
		id, isID := n.Node.(*ast.IdentifierNode)
		field, isName := n.Property.(*ast.StringNode)
		if isID && isName {
			r.members = append(r.members, member{id.Value, field.Value, field.Location().From})
		}
	}
}

// outputs are what the steps of a policy yield so far, by id.
type outputs struct {
	of     map[string]map[string]any
	broken map[string]bool // ids of steps with a mistake of their own
}

func newOutputs() outputs {
	return outputs{of: map[string]map[string]any{}, broken: map[string]bool{}}
}

// has says whether a step of that id stands before, be it one with a mistake.
func (o outputs) has(id string) bool {
	_, ok := o.of[id]
	return ok || o.broken[id]
}

// list names the ids, for a fix.
func (o outputs) list() string {
	if len(o.of) == 0 {
		return " (no step before it has an id)"
	}
	return fmt.Sprintf(" (ids before it: %s)", strings.Join(sorted(o.of), ", "))
}

// suggest is the fix for an id that no earlier step has.
func (o outputs) suggest(id string, more ...string) string {
	if len(o.of)+len(more) == 0 {
		return "give an earlier step that id: none before it has one"
	}
	return strictyaml.Suggest(id, append(sorted(o.of), more...)) + "; a step can only read those before it"
}
