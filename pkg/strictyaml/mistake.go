// Package strictyaml reads YAML so that nothing is ignored: unknown and repeated
// keys, wrong types and second documents are mistakes, and every mistake knows
// its line and column so that config can print it with a caret and the fix.
package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Mistake is one thing a user must mend. Message names the thing and what is
// wrong with it; Fix says what to write instead. Neither may contain a value
// that came from ${env:} or ${file:}.
type Mistake struct {
	Line, Column int // from 1; 0 when unknown
	Width        int // characters to underline; 0: as far as the value goes
	Message      string
	Fix          string
}

// Error is the mistake without its source line.
func (m Mistake) Error() string {
	s := m.Message
	if m.Fix != "" {
		s += ": " + m.Fix
	}
	if m.Line > 0 {
		return fmt.Sprintf("%d:%d: %s", m.Line, m.Column, s)
	}
	return s
}

// Mistakes are all the mistakes found in one go, in source order.
type Mistakes []Mistake

// Error lists them, one a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there is no mistake.
func (ms Mistakes) Err() error {
	if len(ms) == 0 {
		return nil
	}
	return ms
}

// At is a mistake at a node. Where the node's value came from ${env:} or ${file:},
// the value is taken out of the message and the fix.
func At(n *yaml.Node, fix, format string, args ...any) Mistake {
	m := Mistake{Message: fmt.Sprintf(format, args...), Fix: fix}
	return m.place(n)
}

// place puts a mistake at a node.
func (m Mistake) place(n *yaml.Node) Mistake {
	m.Width = 1
	if n == nil {
		return m
	}
	m.Line, m.Column = n.Line, n.Column
	m.Message, m.Fix = hide(m.Message, n), hide(m.Fix, n)
	switch {
	case n.Kind != yaml.ScalarNode:
	case IsExpanded(n):
		m.Width = 0 // the report measures it in the source
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		m.Width = utf8.RuneCountInString(n.Value) + 2
	case n.Value != "":
		m.Width = utf8.RuneCountInString(n.Value)
	}
	return m
}

// From turns any error into mistakes. Mistakes and Mistake keep their places;
// those without one, and any other error, are placed at n. The text of another
// error is withheld where n's value may be a secret.
func From(err error, n *yaml.Node) Mistakes {
	ms := unplaced(err, n)
	for i, m := range ms {
		if m.Line == 0 {
			ms[i] = m.place(n)
		}
	}
	return ms
}

// unplaced are an error's mistakes, those without a place left so. The text of an
// error that is no mistake may hold any part of the value it is about.
func unplaced(err error, n *yaml.Node) Mistakes {
	var ms Mistakes
	var m Mistake
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ms):
		return slices.Clone(ms)
	case errors.As(err, &m):
		return Mistakes{m}
	case IsExpanded(n):
		return Mistakes{{Message: withheld + " is refused", Fix: "check what the variable or file holds"}}
	default:
		return Mistakes{{Message: err.Error()}}
	}
}
