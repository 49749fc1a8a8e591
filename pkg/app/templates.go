package app

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Within an action of a template: what it reads of a step.
var (
	templateAction = regexp.MustCompile(`\{\{.*?\}\}`)
	templateField  = regexp.MustCompile(`\.Steps\.([a-z][a-z0-9_]*)\.([A-Za-z0-9_]+)`)
)

// templates checks what the templates of a step read of earlier ones: needs are
// the ids, as the step's kind knows them.
func (c *compiler) templates(in *config.Step, needs []string, known outputs) {
	for _, id := range needs {
		at := placeOf(in.With, id)
		switch {
		case known.broken[id]: // its own mistake is told
		case !known.has(id):
			c.bad(at, known.suggest(id), "a template of %s reads step %q, which no earlier step has as its id", in.Uses, id)
		default:
			c.templateFields(at, id, fieldNames(known.of[id]))
		}
	}
}

// templateFields refuses a field that a step does not yield. A misspelt one would
// otherwise be seen first when people are told, at night.
func (c *compiler) templateFields(at *yaml.Node, id string, fields []string) {
	for _, action := range templateAction.FindAllString(at.Value, -1) {
		for _, ref := range templateField.FindAllStringSubmatch(action, -1) {
			if ref[1] == id && !slices.Contains(fields, ref[2]) {
				c.bad(at, strictyaml.Suggest(ref[2], fields), "a template reads .Steps.%s.%s: step %q has no field %q", id, ref[2], id, ref[2])
			}
		}
	}
}

// textThatReads is the text under a node whose template reads a step, or nil.
func textThatReads(n *yaml.Node, id string) *yaml.Node {
	if n.Kind == yaml.ScalarNode {
		t, err := actions.NewText(n.Value)
		if err == nil && slices.Contains(t.Needs(), id) {
			return n
		}
		return nil
	}
	for _, child := range n.Content {
		if found := textThatReads(child, id); found != nil {
			return found
		}
	}
	return nil
}

// placeOf is the text whose template reads a step, or the whole node.
func placeOf(n *yaml.Node, id string) *yaml.Node {
	if found := textThatReads(n, id); found != nil {
		return found
	}
	return n
}
