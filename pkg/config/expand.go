package config

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// maxIncluded is the largest file that ${file:} takes in.
const maxIncluded = 64 << 10

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expander replaces ${env:NAME}, ${env:NAME:-default} and ${file:PATH} in scalar
// values, never in keys, and remembers what it put in.
type expander struct {
	env      func(string) (string, bool)
	dir      string
	secrets  []string
	mistakes strictyaml.Mistakes
	failed   map[place]bool // scalars with a mistake
}

// expand replaces the references of a whole tree.
func (x *expander) expand(root *yaml.Node) {
	x.walk(root)
	slices.SortFunc(x.secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	x.secrets = slices.Compact(x.secrets)
}

// walk visits each node once; aliases point at nodes that are walked where they stand.
func (x *expander) walk(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			x.walk(n.Content[i])
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, c := range n.Content {
			x.walk(c)
		}
	case yaml.ScalarNode:
		x.scalar(n)
	case yaml.AliasNode:
	}
}

func (x *expander) scalar(n *yaml.Node) {
	if !strings.Contains(n.Value, "${") {
		return
	}
	var out strings.Builder
	secret, rest := false, n.Value
	before := len(x.mistakes)
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			break
		}
		if i > 0 && rest[i-1] == '$' { // $${ is a literal ${
			out.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		out.WriteString(rest[:i])
		start := utf8.RuneCountInString(n.Value[:len(n.Value)-len(rest)+i])
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			x.bad(n, start, utf8.RuneCountInString(rest[i:]), "close it with }, or write $${ for a literal ${", "${ is not closed")
			return
		}
		reference := rest[i : i+end+1]
		value, isSecret, message, fix := x.resolve(reference[2 : len(reference)-1])
		if message != "" {
			x.bad(n, start, utf8.RuneCountInString(reference), fix, "%s", message)
		}
		if isSecret {
			secret = true
			x.remember(value)
		}
		out.WriteString(value)
		rest = rest[i+end+1:]
	}
	out.WriteString(rest)
	if len(x.mistakes) > before {
		return
	}
	replace(n, out.String(), secret)
}

// replace gives a scalar its expanded value. What it is (a number, a word) is
// judged anew, also within quotes: `"${env:N:-3}"` may be a number. Null it never is.
func replace(n *yaml.Node, value string, secret bool) {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	literal := strings.Contains(n.Value, "$${") && !secret && quoted
	n.Value = value
	if secret {
		n.Style |= strictyaml.Expanded
	}
	if literal || n.Style&yaml.TaggedStyle != 0 {
		return
	}
	n.Style &^= yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	n.Tag = ""
	if n.ShortTag() == "!!null" {
		n.Tag = "!!str"
	}
}

func (x *expander) bad(n *yaml.Node, start, width int, fix, format string, args ...any) {
	x.failed[place{n.Line, n.Column}] = true
	x.mistakes = append(x.mistakes, strictyaml.Within(n, start, width, fix, format, args...))
}

// resolve gives the value of what stands between ${ and }.
func (x *expander) resolve(reference string) (value string, secret bool, message, fix string) {
	if strings.Contains(reference, "${") {
		return "", false, "a reference within a reference is not expanded", "write one ${env:NAME:-default} whose default is plain text"
	}
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		return x.file(path)
	}
	name, ok := strings.CutPrefix(reference, "env:")
	if !ok {
		return "", false, fmt.Sprintf("${%s} is not known", reference),
			"write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}, or $${ for a literal ${"
	}
	name, def, hasDefault := strings.Cut(name, ":-")
	if !variable.MatchString(name) {
		return "", false, fmt.Sprintf("%q is not the name of a variable", name), "write ${env:NAME} or ${env:NAME:-default}"
	}
	value, set := x.env(name)
	switch {
	case hasDefault && value == "":
		return def, false, "", ""
	case !set:
		return "", false, fmt.Sprintf("environment variable %s is not set", name),
			fmt.Sprintf("set it, or give a default: ${env:%s:-default}", name)
	default:
		return value, true, "", ""
	}
}

func (x *expander) file(path string) (value string, secret bool, message, fix string) {
	if path == "" {
		return "", false, "${file:} names no file", "write ${file:PATH}; a relative path is relative to this file"
	}
	fix = "create it, or mend the path or its permissions; a relative path is relative to the configuration file"
	data, err := readIncluded(resolvePath(x.dir, path))
	if err != nil {
		return "", false, fmt.Sprintf("file %s cannot be read: %s", path, cause(err)), fix
	}
	return strings.TrimSuffix(string(data), "\n"), true, "", ""
}

func readIncluded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would block for ever
		return nil, fmt.Errorf("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIncluded+1))
	if err == nil && len(data) > maxIncluded {
		err = fmt.Errorf("it is larger than 64 KiB")
	}
	return data, err
}

// remember keeps a value for the redactor, and the password in it if it is a URL.
func (x *expander) remember(value string) {
	if len(value) >= strictyaml.MinSecret {
		x.secrets = append(x.secrets, value)
	}
	if !strings.Contains(value, "://") {
		return
	}
	u, err := url.Parse(strings.TrimSpace(value))
	if err != nil || u.User == nil {
		return
	}
	if pw, ok := u.User.Password(); ok && len(pw) >= strictyaml.MinSecret {
		x.secrets = append(x.secrets, pw)
	}
}

// resolvePath makes a path of the configuration absolute or relative to the
// working directory: relative ones are relative to the configuration file.
func resolvePath(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
