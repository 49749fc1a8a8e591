package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// maxPrinted mistakes are written out; the count covers all.
const maxPrinted = 50

// Report is every mistake of one configuration, for people: place, message, the
// source line with a caret under the fault, and the fix.
type Report struct {
	Path     string
	Mistakes strictyaml.Mistakes // in source order

	source source
}

// Error is the whole report over several lines, without a newline at its end.
func (r *Report) Error() string {
	var b strings.Builder
	for _, m := range r.Mistakes[:min(len(r.Mistakes), maxPrinted)] {
		r.print(&b, m)
	}
	noun := "mistakes"
	if len(r.Mistakes) == 1 {
		noun = "mistake"
	}
	fmt.Fprintf(&b, "%d %s in %s", len(r.Mistakes), noun, r.Path)
	if len(r.Mistakes) > maxPrinted {
		fmt.Fprintf(&b, ", the first %d are shown", maxPrinted)
	}
	return b.String()
}

// Unwrap gives the mistakes.
func (r *Report) Unwrap() error { return r.Mistakes.Err() }

func (r *Report) print(b *strings.Builder, m strictyaml.Mistake) {
	b.WriteString(r.Path)
	if m.Line > 0 {
		fmt.Fprintf(b, ":%d:%d", m.Line, m.Column)
	}
	fmt.Fprintf(b, ": %s\n", m.Message)
	if line, caret, ok := r.source.show(m); ok {
		number := fmt.Sprintf("%5d", m.Line)
		fmt.Fprintf(b, "%s | %s\n%s | %s\n", number, line, strings.Repeat(" ", len(number)), caret)
	}
	if m.Fix != "" {
		fmt.Fprintf(b, "      fix: %s\n", m.Fix)
	}
	b.WriteString("\n")
}

// source is the file as it was read.
type source []string

func newSource(data []byte) source {
	return strings.Split(string(data), "\n")
}

// shown is how much of a long line is shown, in characters.
const shown = 160

// show gives a mistake's source line and the line with its caret.
func (s source) show(m strictyaml.Mistake) (line, caret string, ok bool) {
	if m.Line < 1 || m.Line > len(s) {
		return "", "", false
	}
	text := []rune(printable(maskSecrets(strings.TrimRight(s[m.Line-1], "\r"))))
	start := max(min(m.Column-1, len(text)), 0)
	width := m.Width
	if width <= 0 {
		width = valueWidth(text[start:])
	}
	width = max(min(width, len(text)-start), 1)
	prefix, suffix := "", ""
	if len(text) > shown {
		from := max(min(start-20, len(text)-shown), 0)
		to := from + shown
		if from > 0 {
			prefix = "…"
		}
		if to < len(text) {
			suffix = "…"
		}
		text, start = text[from:to], start-from
		width = max(min(width, len(text)-start), 1)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", utf8.RuneCountInString(prefix)))
	for _, r := range text[:start] {
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString(strings.Repeat("^", width))
	return prefix + string(text) + suffix, b.String(), true
}

// valueWidth is how far a value goes: to the closing quote, or to what ends a
// plain one.
func valueWidth(text []rune) int {
	if len(text) == 0 {
		return 1
	}
	if q := text[0]; q == '"' || q == '\'' {
		for i := 1; i < len(text); i++ {
			if text[i] == q {
				return i + 1
			}
		}
		return len(text)
	}
	depth := 0
	for i, r := range text {
		switch {
		case r == '{':
			depth++
		case r == '}' && depth > 0:
			depth--
		case depth == 0 && (r == '}' || r == ']' || r == ','):
			return i
		case r == '#' && i > 0 && text[i-1] == ' ':
			return len([]rune(strings.TrimRight(string(text[:i]), " ")))
		}
	}
	return len([]rune(strings.TrimRight(string(text), " \t")))
}

// printable keeps a file's control characters away from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

var (
	urlPassword = regexp.MustCompile(`(://[^:/@\s'"]*:)([^@\s'"]+)@`)
	secretKey   = regexp.MustCompile(`\b((?:bearer|bearer_token|password|credentials|client_secret|key|token):\s*)("[^"]*"|'[^']*'|[^\s,}\]#]+)`)
)

// maskSecrets hides secrets that are written into the file itself, keeping the
// columns. References to the environment and to files are no secrets.
func maskSecrets(line string) string {
	mask := func(re *regexp.Regexp, tail string) {
		line = re.ReplaceAllStringFunc(line, func(s string) string {
			g := re.FindStringSubmatch(s)
			if strings.Contains(g[2], "${") || strings.HasSuffix(g[1], "${env:") || strings.HasSuffix(g[1], "${file:") {
				return s
			}
			return g[1] + strings.Repeat("*", utf8.RuneCountInString(g[2])) + tail
		})
	}
	mask(urlPassword, "@")
	mask(secretKey, "")
	return line
}
