package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mergeKey is YAML's merge key. It is refused: what it brings in has no line of
// its own to point at, and which side wins is easily misread.
const mergeKey = "<<"

// field of a struct, by its key.
type field struct {
	index  []int
	notYet bool
	fix    string
}

// shape is how a struct is written in YAML.
type shape struct {
	fields map[string]field
	keys   []string // in the order of the struct, then not-yet ones
	built  []string // those that are supported
	rest   []int    // an inlined map takes the other keys
	node   []int    // a field tagged `yaml:"-" node:"self"` keeps the mapping itself
}

// Keys are the YAML keys of a struct type in its order, not-yet ones included.
func Keys(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return shapeOf(t).keys
}

func shapeOf(t reflect.Type) shape {
	s := shape{fields: map[string]field{}}
	s.add(t, nil)
	if ny, ok := reflect.TypeAssert[NotYetKeys](reflect.New(t)); ok {
		names := ny.NotYet()
		for _, k := range sortedKeys(names) {
			s.fields[k] = field{notYet: true, fix: names[k]}
			s.keys = append(s.keys, k)
		}
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *shape) add(t reflect.Type, at []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		index := append(slices.Clone(at), i)
		switch {
		case name == "-" && f.Tag.Get("node") == "self":
			s.node = index
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case slices.Contains(strings.Split(options, ","), "inline"):
			if f.Type.Kind() == reflect.Map {
				s.rest = index
			} else if f.Type.Kind() == reflect.Struct {
				s.add(f.Type, index)
			}
		case !f.IsExported():
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			s.fields[name] = field{index: index, notYet: f.Tag.Get("notyet") == "true", fix: f.Tag.Get("fix")}
			s.keys = append(s.keys, name)
			if !s.fields[name].notYet {
				s.built = append(s.built, name)
			}
		}
	}
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(path, n, "a mapping of keys to values", mappingFix)
		return
	}
	s := shapeOf(v.Type())
	if s.node != nil {
		v.FieldByIndex(s.node).Set(reflect.ValueOf(n))
	}
	d.pairs(path, n, func(key, val *yaml.Node) {
		f, ok := s.fields[key.Value]
		at := join(path, key.Value)
		switch {
		case ok && f.notYet:
			fix := f.fix
			if fix == "" {
				fix = "remove it"
			}
			d.at(key, fix, "%s is not supported yet", at)
		case ok:
			d.value(at, val, v.FieldByIndex(f.index))
		case s.rest != nil:
			d.entry(at, key, val, v.FieldByIndex(s.rest))
		default:
			in := ""
			if path != "" {
				in = " in " + path
			}
			d.at(key, suggest(key.Value, s.built), "unknown key %q%s", key.Value, in)
		}
	})
}

// pairs calls fn for each key of a mapping that is a plain word and no repetition.
func (d *decoder) pairs(path string, n *yaml.Node, fn func(key, val *yaml.Node)) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			d.at(key, "write a plain word", "%shas a key that is %s", subject(path), describe(key))
		case key.Value == mergeKey && key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
			d.at(key, "write the keys out; aliases of whole values are fine", "%shas a merge key, which is not supported", subject(path))
		case seen[key.Value] != nil:
			d.at(key, "remove one of the two", "key %q is given twice, first on line %d", key.Value, seen[key.Value].Line)
		default:
			seen[key.Value] = key
			fn(key, val)
		}
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(path, n, "a mapping of keys to values", mappingFix)
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.pairs(path, n, func(key, val *yaml.Node) { d.entry(join(path, key.Value), key, val, v) })
}

// entry decodes one key and value of a map.
func (d *decoder) entry(path string, key, val *yaml.Node, m reflect.Value) {
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	k, e := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	before := len(d.mistakes)
	d.value(path, key, k)
	d.value(path, val, e)
	if len(d.mistakes) == before {
		m.SetMapIndex(k, e)
	}
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(path, n, "a list", listFix)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(element(path, i, c), c, out.Index(i))
	}
	v.Set(out)
}

// anything decodes a value whose type is free, strictly as far as that goes.
func (d *decoder) anything(path string, n *yaml.Node, v reflect.Value) {
	if v.NumMethod() > 0 {
		d.at(n, "", "%scannot be decoded into %s", subject(path), v.Type())
		return
	}
	var out reflect.Value
	switch n.Kind {
	case yaml.MappingNode:
		out = reflect.ValueOf(&map[string]any{}).Elem()
		d.mapping(path, n, out)
	case yaml.SequenceNode:
		out = reflect.ValueOf(&[]any{}).Elem()
		d.list(path, n, out)
	default:
		var x any
		if IsExpanded(n) {
			x = n.Value
		} else if err := n.Decode(&x); err != nil {
			d.foreign(path, n, err)
			return
		}
		out = reflect.ValueOf(&x).Elem()
	}
	if out.Kind() != reflect.Interface || !out.IsNil() {
		v.Set(out)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// element names an entry of a list by its name or id where it has one.
func element(path string, i int, n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		for _, want := range []string{"name", "id"} {
			for k := 0; k+1 < len(n.Content); k += 2 {
				val := n.Content[k+1]
				if n.Content[k].Value == want && val.Kind == yaml.ScalarNode && val.Value != "" && !IsExpanded(val) {
					return fmt.Sprintf("%s[%s]", path, val.Value)
				}
			}
		}
	}
	return fmt.Sprintf("%s[%d]", path, i)
}
