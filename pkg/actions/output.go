package actions

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxOutput bounds one piece of output in a result, in bytes.
const MaxOutput = 64 << 10

// Cap shortens output to n bytes, keeping its end, where the news is, and says how
// much was cut.
func Cap(s string, n int) string {
	if len(s) <= n {
		return s
	}
	tail := s[len(s)-n:]
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return fmt.Sprintf("[%d bytes cut]…%s", len(s)-len(tail), tail)
}

// redacted stands where a secret was.
const redacted = "[redacted]"

// Redactor replaces secrets in what leaves the program.
type Redactor struct{ replacer *strings.Replacer }

// NewRedactor knows secrets by their exact values. Values of fewer than four bytes
// are left alone: they would redact ordinary text.
func NewRedactor(secrets []string) *Redactor {
	list := slices.Clone(secrets)
	// Longest first: a secret that contains another must go whole.
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range list {
		if len(s) >= 4 {
			pairs = append(pairs, s, redacted)
		}
	}
	return &Redactor{replacer: strings.NewReplacer(pairs...)}
}

// Text without secrets.
func (r *Redactor) Text(s string) string { return r.replacer.Replace(s) }

// Result without secrets, in its text and in its outputs however deep.
func (r *Redactor) Result(res Result) Result {
	res.Text = Cap(r.Text(res.Text), MaxOutput)
	if res.Outputs != nil {
		res.Outputs, _ = r.value(res.Outputs).(map[string]any)
	}
	return res
}

func (r *Redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return Cap(r.Text(v), MaxOutput)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = Cap(r.Text(s), MaxOutput)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.value(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[r.Text(k)] = r.value(e)
		}
		return out
	default:
		return v
	}
}
