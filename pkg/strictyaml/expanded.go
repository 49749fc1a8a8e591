package strictyaml

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Expanded marks a scalar whose value came from ${env:} or ${file:} and may be a
// secret. It is a bit of the node's style that the YAML library does not use, so
// that it travels with the node wherever the node goes.
const Expanded yaml.Style = 1 << 30

const withheld = "(a value from ${env:} or ${file:}, withheld)"

// IsExpanded says whether a scalar's value may be a secret.
func IsExpanded(n *yaml.Node) bool { return n != nil && n.Style&Expanded != 0 }

// Shown is a scalar as messages may show it: quoted (with backquotes where it has
// double quotes itself), or withheld when it may be a secret.
func Shown(n *yaml.Node) string {
	if IsExpanded(n) {
		return withheld
	}
	if strings.Contains(n.Value, `"`) && strconv.CanBackquote(n.Value) {
		return "`" + n.Value + "`"
	}
	return strconv.Quote(n.Value)
}

// hide takes the expanded values at and under a node out of a text.
func hide(text string, n *yaml.Node) string {
	if n == nil || text == "" {
		return text
	}
	if IsExpanded(n) && n.Value != "" {
		text = strings.ReplaceAll(text, strconv.Quote(n.Value), withheld)
		if len(n.Value) >= MinSecret {
			text = strings.ReplaceAll(text, n.Value, withheld)
		}
	}
	for _, c := range n.Content {
		text = hide(text, c)
	}
	return text
}

// MinSecret is the length in bytes from which a value is taken for a secret and
// cut out of running text: shorter ones are found in any sentence.
const MinSecret = 4
