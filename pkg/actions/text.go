package actions

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	tmpltext "text/template"
	"time"

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
	raw  string
	tmpl *tmpltext.Template
	refs []stepRef
}

// textData is what templates see. It is a struct so that a name that does not
// exist is an error and not an empty string.
type textData struct {
	Status                                 string
	Labels, Annotations                    template.KV
	StartsAt                               time.Time
	Fingerprint, GeneratorURL              string
	Policy, Severity, Runbook, Remediation string
	Steps                                  map[string]map[string]any
}

var textFields = []string{
	"Status", "Labels", "Annotations", "StartsAt", "Fingerprint", "GeneratorURL",
	"Policy", "Severity", "Runbook", "Remediation", "Steps",
}

// textFuncs are Alertmanager's, without routeLabels: there are no routes here, and
// a function that always gives "" would only hide a mistake.
func textFuncs() tmpltext.FuncMap {
	funcs := maps.Clone(tmpltext.FuncMap(template.DefaultFuncs))
	delete(funcs, "routeLabels")
	return funcs
}

// parsePrefix begins the errors of text/template.
var parsePrefix = regexp.MustCompile(`^template: :(\d+)(:\d+)?: `)

// NewText parses a template, or keeps plain text.
func NewText(raw string) (Text, error) {
	t := Text{raw: raw}
	if !strings.Contains(raw, "{{") {
		return t, nil
	}
	tmpl, err := tmpltext.New("").Option("missingkey=zero").Funcs(textFuncs()).Parse(raw)
	if err != nil {
		return t, errors.New(parsePrefix.ReplaceAllString(err.Error(), ""))
	}
	w := &textWalk{}
	for _, part := range tmpl.Templates() {
		if part.Tree != nil {
			w.root = part.Name() == ""
			w.walk(part.Root)
		}
	}
	if w.bad != nil {
		return t, w.bad
	}
	t.tmpl, t.refs = tmpl, w.refs
	return t, nil
}

// UnmarshalYAML reads a string and places a bad template. What a secret may be part
// of is not quoted.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return strictyaml.At(n, "write a string", "must be text, or a template in text")
	}
	parsed, err := NewText(n.Value)
	if err != nil {
		const fix = "write a template as in Alertmanager over .Labels, .Annotations and .Steps.<id>.<field>, or {{ `{{` }} for two braces"
		if strictyaml.IsExpanded(n) {
			return strictyaml.At(n, fix, "the template in this value is refused")
		}
		return strictyaml.At(n, fix, "bad template: %s", err)
	}
	*t = parsed
	return nil
}

// IsStatic says whether the text is no template.
func (t Text) IsStatic() bool { return t.tmpl == nil }

// Raw is the text as configured.
func (t Text) Raw() string { return t.raw }

// Needs are the ids of the steps that the template reads, sorted.
func (t Text) Needs() []string { return NeedsOf(t) }

// NeedsOf are the ids that any of some texts reads, sorted.
func NeedsOf(texts ...Text) []string {
	var out []string
	for _, t := range texts {
		for _, r := range t.refs {
			out = append(out, r.id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Render executes the template. A step that it reads and that has not run, is
// unknown, was skipped or has no such field is an error with CodeUnknownInput.
func (t Text) Render(s Scope) (string, error) {
	if t.tmpl == nil {
		return t.raw, nil
	}
	steps, err := t.steps(s)
	if err != nil {
		return "", &Error{Code: CodeUnknownInput, Err: fmt.Errorf("template %q: %w", t.raw, err)}
	}
	data := textData{
		Status: s.Alert.Status, Labels: s.Alert.Labels, Annotations: s.Alert.Annotations, StartsAt: s.Alert.StartsAt,
		Fingerprint: s.Alert.Fingerprint, GeneratorURL: s.Alert.GeneratorURL, Policy: s.Policy, Severity: s.Severity,
		Runbook: s.Runbook, Remediation: s.Remediation, Steps: steps,
	}
	out := &capped{left: MaxText}
	if err := t.tmpl.Execute(out, data); err != nil {
		return "", &Error{Code: CodeFailed, Err: fmt.Errorf("template %q: %s", t.raw, parsePrefix.ReplaceAllString(err.Error(), ""))}
	}
	if strings.Contains(out.String(), noValue) {
		return "", &Error{Code: CodeUnknownInput, Err: fmt.Errorf("template %q reads a value that is not there", t.raw)}
	}
	return out.String(), nil
}

// noValue is what text/template writes for a nil.
const noValue = "<no value>"

// steps are the results that the template reads, and no others: a template that
// prints everything cannot depend on what it does not name.
func (t Text) steps(s Scope) (map[string]map[string]any, error) {
	out := map[string]map[string]any{}
	for _, ref := range t.refs {
		r, ok := s.Steps[ref.id]
		switch {
		case !ok:
			return nil, fmt.Errorf("step %q has not run", ref.id)
		case r.Unknown:
			return nil, fmt.Errorf("step %q is unknown: %s", ref.id, r.Text)
		case r.Skipped:
			return nil, fmt.Errorf("step %q was skipped: %s", ref.id, r.Text)
		}
		if out[ref.id] == nil {
			fields := map[string]any{}
			maps.Copy(fields, r.Outputs)
			fields["ok"], fields["unknown"], fields["text"] = r.OK, r.Unknown, r.Text
			out[ref.id] = fields
		}
		if _, ok := out[ref.id][ref.field]; !ok && ref.field != "" {
			return nil, fmt.Errorf("step %q has no field %q (it has %s)", ref.id, ref.field, strings.Join(slices.Sorted(maps.Keys(out[ref.id])), ", "))
		}
	}
	return out, nil
}

// capped refuses what is longer than a limit.
type capped struct {
	buf  bytes.Buffer
	left int
}

func (c *capped) String() string { return c.buf.String() }

// Write takes bytes until the limit.
func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, fmt.Errorf("renders more than %d bytes", MaxText)
	}
	return c.buf.Write(p)
}
