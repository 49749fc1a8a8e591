package actions

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	tmpltext "text/template"
	"text/template/parse"

	"github.com/prometheus/alertmanager/template"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// MaxText bounds what a template may render, in bytes.
const MaxText = 64 << 10

// Text is a string of a step's `with` that may be an Alertmanager template over
// the alert and over earlier steps: {{ .Labels.job }}, {{ .Steps.gap.rows }}. A
// template is text of the configuration only; what labels hold is never read as one.
type Text struct {
	raw   string
	tmpl  *tmpltext.Template
	needs []string
}

// NewText parses a template, or keeps plain text.
func NewText(raw string) (Text, error) {
	t := Text{raw: raw}
	if !strings.Contains(raw, "{{") {
		return t, nil
	}
	tmpl, err := tmpltext.New("").Option("missingkey=zero").Funcs(tmpltext.FuncMap(template.DefaultFuncs)).Parse(raw)
	if err != nil {
		return t, fmt.Errorf("bad template: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	t.tmpl = tmpl
	for _, part := range tmpl.Templates() {
		if part.Tree != nil {
			t.needs = stepsOf(part.Root, t.needs)
		}
	}
	return t, nil
}

// UnmarshalYAML reads a string and places a bad template.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	var raw string
	if err := n.Decode(&raw); err != nil || n.Kind != yaml.ScalarNode {
		return strictyaml.At(n, "write a string", "want a string or a template")
	}
	parsed, err := NewText(raw)
	if err != nil {
		return strictyaml.At(n, "see Alertmanager's template reference", "%s", err)
	}
	*t = parsed
	return nil
}

// IsStatic says whether the text is no template.
func (t Text) IsStatic() bool { return t.tmpl == nil }

// Raw is the text as configured.
func (t Text) Raw() string { return t.raw }

// Needs are the ids of the steps that the template reads.
func (t Text) Needs() []string { return slices.Clone(t.needs) }

// NeedsOf are the ids that any of some texts reads, sorted.
func NeedsOf(texts ...Text) []string {
	var out []string
	for _, t := range texts {
		out = append(out, t.needs...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Render executes the template. A step that it reads and that has not run, is
// unknown or was skipped is an error with CodeUnknownInput.
func (t Text) Render(s Scope) (string, error) {
	if t.tmpl == nil {
		return t.raw, nil
	}
	steps := map[string]map[string]any{}
	for _, id := range t.needs {
		r, ok := s.Steps[id]
		if !ok || r.Unknown || r.Skipped {
			return "", &Error{Code: CodeUnknownInput, Err: fmt.Errorf("template %q reads step %q, which gave no answer", t.raw, id)}
		}
	}
	for id, r := range s.Steps {
		steps[id] = map[string]any{"ok": r.OK, "unknown": r.Unknown, "text": r.Text}
		for k, v := range r.Outputs {
			if _, taken := steps[id][k]; !taken {
				steps[id][k] = v
			}
		}
	}
	data := map[string]any{
		"Status": s.Alert.Status, "Labels": s.Alert.Labels, "Annotations": s.Alert.Annotations, "StartsAt": s.Alert.StartsAt,
		"Fingerprint": s.Alert.Fingerprint, "GeneratorURL": s.Alert.GeneratorURL, "Policy": s.Policy, "Severity": s.Severity,
		"Runbook": s.Runbook, "Remediation": s.Remediation, "Steps": steps,
	}
	out := &capped{left: MaxText}
	if err := t.tmpl.Execute(out, data); err != nil {
		return "", &Error{Code: CodeFailed, Err: fmt.Errorf("template %q: %w", t.raw, err)}
	}
	return strings.ReplaceAll(out.String(), "<no value>", ""), nil
}

// capped refuses what is longer than a limit.
type capped struct {
	bytes.Buffer
	left int
}

// Write takes bytes until the limit.
func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, fmt.Errorf("renders more than %d bytes", MaxText)
	}
	return c.Buffer.Write(p)
}

// stepsOf collects the ids in .Steps.<id> wherever they stand in a template.
func stepsOf(n parse.Node, found []string) []string {
	add := func(ident []string) {
		for i, name := range ident {
			if name == "Steps" && i+1 < len(ident) && !slices.Contains(found, ident[i+1]) {
				found = append(found, ident[i+1])
			}
		}
	}
	var walk func(parse.Node)
	pipe := func(p *parse.PipeNode) {
		if p == nil {
			return
		}
		for _, c := range p.Cmds {
			for _, a := range c.Args {
				walk(a)
			}
		}
	}
	branch := func(p *parse.PipeNode, lists ...*parse.ListNode) {
		pipe(p)
		for _, l := range lists {
			if l != nil {
				walk(l)
			}
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, c := range n.Nodes {
				walk(c)
			}
		case *parse.ActionNode:
			pipe(n.Pipe)
		case *parse.PipeNode:
			pipe(n)
		case *parse.TemplateNode:
			pipe(n.Pipe)
		case *parse.IfNode:
			branch(n.Pipe, n.List, n.ElseList)
		case *parse.RangeNode:
			branch(n.Pipe, n.List, n.ElseList)
		case *parse.WithNode:
			branch(n.Pipe, n.List, n.ElseList)
		case *parse.FieldNode:
			add(n.Ident)
		case *parse.VariableNode:
			add(n.Ident)
		case *parse.ChainNode:
			add(n.Field)
			walk(n.Node)
		}
	}
	walk(n)
	return found
}
