package strictyaml

import (
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

var plainDuration = reflect.TypeFor[time.Duration]()

// scalar decodes a single value. Text takes any scalar as it is written; numbers
// and booleans must be written as such, or come out of an expansion.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	want, ok := wanted(v)
	if !ok {
		d.at(n, "", "%scannot be decoded into %s", subject(path), v.Type())
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.wrong(path, n, want, example(v))
		return
	}
	if v.Type() == plainDuration {
		var own Duration
		d.foreign(path, n, own.UnmarshalYAML(n))
		v.SetInt(int64(own))
		return
	}
	if !set(n, v) {
		d.at(n, example(v)+unquoted(n), "%smust be %s, not %s", subject(path), want, Shown(n))
	}
}

// wanted names in words what a value must be.
func wanted(v reflect.Value) (string, bool) {
	if v.Type() == plainDuration {
		return "a duration such as 90s", true
	}
	switch v.Kind() {
	case reflect.String:
		return "text", true
	case reflect.Bool:
		return "true or false", true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number", true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of at least 0", true
	case reflect.Float32, reflect.Float64:
		return "a number", true
	default:
		return "", false
	}
}

// set stores a scalar; false when it is not of the value's type or too large.
func set(n *yaml.Node, v reflect.Value) bool {
	tag := n.ShortTag()
	free := IsExpanded(n)
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
		return tag != "!!binary"
	case reflect.Bool:
		if (tag == "!!bool" || free) && (n.Value == "true" || n.Value == "false") {
			v.SetBool(n.Value == "true")
			return true
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err == nil && (tag == "!!int" || free) {
			v.SetInt(i)
			return true
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if err == nil && (tag == "!!int" || free) {
			v.SetUint(u)
			return true
		}
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, v.Type().Bits())
		if err == nil && (tag == "!!int" || tag == "!!float" || free) {
			v.SetFloat(f)
			return true
		}
	default:
	}
	return false
}

// unquoted ends the fix where the quotes themselves are the mistake.
func unquoted(n *yaml.Node) string {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return ", without quotes"
	}
	return ""
}

// example is the fix for a scalar of the wrong type.
func example(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "write one value, without brackets or braces"
	case reflect.Bool:
		return "write true or false"
	case reflect.Float32, reflect.Float64:
		return "write a number such as 0.5"
	default:
		return "write a number such as 3"
	}
}
