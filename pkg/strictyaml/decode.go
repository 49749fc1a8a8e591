package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what aliases may blow a document up to.
const maxNodes = 200_000

// legacyUnmarshaler is the older form of yaml.Unmarshaler, as Prometheus' types
// have it. The function it is given decodes strictly too.
type legacyUnmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// NotYetKeys is implemented by a struct some of whose keys are part of the
// contract but not built: key to what to do instead ("" for "remove it").
type NotYetKeys interface{ NotYet() map[string]string }

// Decode reads a node into the value that into points to. Keys are those of the
// yaml tags; a field tagged `notyet:"true"` is a key that is refused as not
// supported yet; one tagged `yaml:"-" node:"self"`, a *yaml.Node, keeps the mapping. What is absent keeps the value it has, so defaults are set before.
// Unknown and repeated keys, null and values of the wrong type are mistakes, and
// all of them are collected: the error is a Mistakes, in source order. Merge keys
// are refused, aliases resolved. A nil node is an absent one: nothing is set.
func Decode(node *yaml.Node, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("strictyaml: decoding needs a pointer, got %T", into)
	}
	if node != nil && node.Kind == yaml.DocumentNode {
		node = first(node.Content)
	}
	if node == nil || node.Kind == 0 {
		return nil
	}
	d := &decoder{following: map[*yaml.Node]bool{}}
	d.value("", node, v.Elem())
	return Sorted(d.mistakes).Err()
}

func first(nodes []*yaml.Node) *yaml.Node {
	if len(nodes) == 0 {
		return nil
	}
	return nodes[0]
}

// Sorted puts mistakes in source order and drops repeated ones.
func Sorted(ms Mistakes) Mistakes {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.Compact(ms)
}

type decoder struct {
	mistakes  Mistakes
	following map[*yaml.Node]bool // aliases being resolved
	visited   int
	full      bool
}

func (d *decoder) at(n *yaml.Node, fix, format string, args ...any) {
	d.mistakes = append(d.mistakes, At(n, fix, format, args...))
}

var nodeType = reflect.TypeFor[yaml.Node]()

// value decodes one node. path names it in messages, "" at the top.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if d.visited++; d.visited > maxNodes {
		if !d.full {
			d.full = true
			d.at(n, "write less, or fewer aliases", "more than %d values", maxNodes)
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		d.alias(path, n, v)
		return
	}
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(*n))
		return
	}
	if isNull(n) && v.Kind() != reflect.Interface {
		d.at(n, "write a value or remove the key", "%shas no value", subject(path))
		return
	}
	if v.Kind() == reflect.Pointer {
		d.pointer(path, n, v)
		return
	}
	if d.custom(path, n, v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	case reflect.Interface:
		d.anything(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

func (d *decoder) alias(path string, n *yaml.Node, v reflect.Value) {
	if n.Alias == nil || d.following[n.Alias] {
		d.at(n, "write the value out", "alias *%s contains itself", n.Value)
		return
	}
	d.following[n.Alias] = true
	d.value(path, n.Alias, v)
	delete(d.following, n.Alias)
}

func (d *decoder) pointer(path string, n *yaml.Node, v reflect.Value) {
	if v.Type().Elem() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	p := reflect.New(v.Type().Elem())
	d.value(path, n, p.Elem())
	v.Set(p)
}

// custom lets a type that reads itself do so.
func (d *decoder) custom(path string, n *yaml.Node, v reflect.Value) bool {
	if !v.CanAddr() || v.Kind() == reflect.Interface || !v.Addr().CanInterface() {
		return false
	}
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		d.foreign(path, n, u.UnmarshalYAML(n))
	case legacyUnmarshaler:
		d.foreign(path, n, u.UnmarshalYAML(func(into any) error {
			p := reflect.ValueOf(into)
			if p.Kind() != reflect.Pointer || p.IsNil() {
				return fmt.Errorf("strictyaml: decoding needs a pointer, got %T", into)
			}
			inner := &decoder{following: d.following, visited: d.visited}
			inner.value(path, n, p.Elem())
			d.visited = inner.visited
			return inner.mistakes.Err()
		}))
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.wrong(path, n, "a single value", "write one value, without brackets or braces")
			return true
		}
		d.foreign(path, n, u.UnmarshalText([]byte(n.Value)))
	default:
		return false
	}
	return true
}

// foreign takes over the mistakes of a type that reads itself. Those without a
// place get the node's, and its path.
func (d *decoder) foreign(path string, n *yaml.Node, err error) {
	if err == nil {
		return
	}
	for _, m := range unplaced(err, n) {
		if m.Line == 0 {
			m.Message = prefix(path) + m.Message
			m = m.place(n)
		}
		d.mistakes = append(d.mistakes, m)
	}
}

// isNull says whether a scalar is null. An expanded one never is: what comes out
// of the environment is text.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && !IsExpanded(n) && n.ShortTag() == "!!null"
}

// subject begins a sentence about the value at a path.
func subject(path string) string {
	if path == "" {
		return "this "
	}
	return path + " "
}

// prefix begins a message that was written without knowing the path.
func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// Fixes of values of the wrong type.
const (
	listFix    = "write [one, two], or one entry a line, each after a dash"
	mappingFix = "write {key: value}, or one `key: value` a line, indented"
)

// wrong says that a node is of the wrong kind.
func (d *decoder) wrong(path string, n *yaml.Node, want, fix string) {
	d.at(n, fix, "%smust be %s, not %s", subject(path), want, describe(n))
}

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		if IsExpanded(n) || len(n.Value) > 60 || strings.ContainsAny(n.Value, "\n\t") {
			return "a single value"
		}
		return Shown(n)
	}
}
