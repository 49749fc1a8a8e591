package actions

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// Redactor replaces secrets in what leaves the program.
type Redactor struct{ replacer *strings.Replacer }

// NewRedactor knows secrets by their exact values. Values of fewer than
// strictyaml.MinSecret bytes are left alone: they would redact ordinary text.
func NewRedactor(secrets []string) *Redactor {
	list := slices.Clone(secrets)
	// Longest first: a secret that contains another must go whole.
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range list {
		if len(s) >= strictyaml.MinSecret {
			pairs = append(pairs, s, Redacted)
		}
	}
	return &Redactor{replacer: strings.NewReplacer(pairs...)}
}

// Text without secrets.
func (r *Redactor) Text(s string) string { return r.replacer.Replace(s) }

// Result without secrets, in its text and in its outputs however deep, keys
// included. Strings longer than MaxOutput are capped after that.
func (r *Redactor) Result(res Result) Result {
	res.Text = Cap(r.Text(res.Text), MaxOutput)
	if res.Outputs != nil {
		res.Outputs, _ = r.value(res.Outputs).(map[string]any)
	}
	return res
}

// value copies what it changes: a result may be shared.
func (r *Redactor) value(v any) any {
	switch v := v.(type) {
	case nil, bool, int, int64, uint64, float64:
		return v
	case string:
		return Cap(r.Text(v), MaxOutput)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = Cap(r.Text(s), MaxOutput)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[r.Text(k)] = r.value(e)
		}
		return out
	default:
		return r.other(v)
	}
}

// other takes the shapes that are rare in outputs. What it does not know is
// written out as text, so that nothing passes unseen.
func (r *Redactor) other(v any) any {
	val := reflect.ValueOf(v)
	switch val.Kind() {
	case reflect.Slice, reflect.Array:
		out := make([]any, val.Len())
		for i := range out {
			out[i] = r.value(val.Index(i).Interface())
		}
		return out
	case reflect.Map:
		out := make(map[string]any, val.Len())
		for it := val.MapRange(); it.Next(); {
			out[r.Text(fmt.Sprint(it.Key().Interface()))] = r.value(it.Value().Interface())
		}
		return out
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Float32:
		return v
	default:
		return Cap(r.Text(fmt.Sprint(v)), MaxOutput)
	}
}
