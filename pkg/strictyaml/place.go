package strictyaml

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Within is a mistake at some characters of a scalar's value, counted from 0. Where
// their place in the source cannot be told (block scalars), it is at the scalar.
func Within(n *yaml.Node, start, width int, fix, format string, args ...any) Mistake {
	m := At(n, fix, format, args...)
	if offset, ok := inSource(n, start); ok {
		m.Column += offset
		m.Width = max(width, 1)
	}
	return m
}

// inSource is how many columns after a scalar's start its i-th character stands,
// where that can be told: not in block scalars.
func inSource(n *yaml.Node, i int) (int, bool) {
	before := string([]rune(n.Value)[:min(i, utf8.RuneCountInString(n.Value))])
	switch {
	case strings.Contains(n.Value, "\n") || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, false
	case n.Style&yaml.SingleQuotedStyle != 0:
		return 1 + i + strings.Count(before, "'"), true
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return 1 + i + strings.Count(before, `"`) + strings.Count(before, `\`), true
	default:
		return i, true
	}
}

// Child is the value of a mapping's key, or nil. Aliases are followed.
func Child(n *yaml.Node, key string) *yaml.Node {
	_, val := Pair(n, key)
	return val
}

// Pair is a mapping's key and its value, or nil. Aliases are followed.
func Pair(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n = Resolve(n); n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], Resolve(n.Content[i+1])
		}
	}
	return nil, nil
}

// Resolve follows an alias, and a document to its content.
func Resolve(n *yaml.Node) *yaml.Node {
	for range 8 {
		switch {
		case n == nil:
			return nil
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		case n.Kind == yaml.DocumentNode:
			n = first(n.Content)
		default:
			return n
		}
	}
	return n
}
