package actions

import (
	"fmt"
	"slices"
	"text/template/parse"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// stepRef is a reading of an earlier step: .Steps.id.field. The field is "" where
// the whole result is read.
type stepRef struct{ id, field string }

// textWalk goes through a template's parse tree and collects what it reads. Names
// that do not exist, and readings of .Steps that do not name a step, are refused:
// the engine has to know which steps a template waits for.
type textWalk struct {
	refs  []stepRef
	bad   error
	root  bool // the dot of the tree's top is the alert
	moved int  // inside of with and range, where the dot is another
}

func (w *textWalk) fail(format string, args ...any) {
	if w.bad == nil {
		w.bad = fmt.Errorf(format, args...)
	}
}

// fields takes a chain of names; atRoot says that it begins at the alert.
func (w *textWalk) fields(ident []string, atRoot bool) {
	if atRoot && len(ident) > 0 && !slices.Contains(textFields, ident[0]) {
		w.fail("there is no .%s: %s", ident[0], strictyaml.Suggest(ident[0], textFields))
	}
	i := slices.Index(ident, "Steps")
	if i < 0 || atRoot && i > 0 {
		return // .Labels.Steps is a label
	}
	switch len(ident) - i {
	case 1:
		w.fail(".Steps must be followed by a step's id: .Steps.gap.rows")
	case 2:
		w.ref(ident[i+1], "")
	default:
		w.ref(ident[i+1], ident[i+2])
	}
}

func (w *textWalk) ref(id, field string) {
	if r := (stepRef{id, field}); !slices.Contains(w.refs, r) {
		w.refs = append(w.refs, r)
	}
}

func (w *textWalk) walk(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, c := range n.Nodes {
				w.walk(c)
			}
		}
	case *parse.ActionNode:
		w.pipe(n.Pipe)
	case *parse.PipeNode:
		w.pipe(n)
	case *parse.TemplateNode:
		w.pipe(n.Pipe)
	case *parse.IfNode:
		w.branch(&n.BranchNode, 0)
	case *parse.RangeNode:
		w.branch(&n.BranchNode, 1)
	case *parse.WithNode:
		w.branch(&n.BranchNode, 1)
	case *parse.FieldNode:
		w.fields(n.Ident, w.root && w.moved == 0)
	case *parse.VariableNode:
		w.fields(n.Ident[1:], w.root && n.Ident[0] == "$")
	case *parse.ChainNode:
		w.walk(n.Node)
		w.fields(n.Field, false)
	default:
	}
}

// branch walks an if, range or with; moves is 1 where the dot is another inside.
func (w *textWalk) branch(b *parse.BranchNode, moves int) {
	w.pipe(b.Pipe)
	w.moved += moves
	w.walk(b.List)
	w.moved -= moves
	w.walk(b.ElseList)
}

func (w *textWalk) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		args := c.Args
		if rest, ok := w.indexed(args); ok {
			args = rest
		}
		for _, a := range args {
			w.walk(a)
		}
	}
}

// indexed takes `index .Steps "id" "field"`, the other way to name a step, and
// gives back the arguments that are left to walk.
func (w *textWalk) indexed(args []parse.Node) ([]parse.Node, bool) {
	if len(args) < 3 || args[0].String() != "index" || args[1].String() != ".Steps" && args[1].String() != "$.Steps" {
		return nil, false
	}
	id, ok := args[2].(*parse.StringNode)
	if !ok {
		return nil, false // then .Steps alone is refused
	}
	field := ""
	if len(args) > 3 {
		if f, ok := args[3].(*parse.StringNode); ok {
			field = f.Text
		}
	}
	w.ref(id.Text, field)
	return args[3:], true
}
