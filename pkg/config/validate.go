package config

import (
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// validator checks values and the relations between them. A section that could
// not be decoded is not judged any further: one mistake is told once.
type validator struct {
	c     *Config
	root  *yaml.Node
	dir   string
	bad   strictyaml.Mistakes // of expansion and decoding
	found strictyaml.Mistakes // those and what is found here
}

// all checks every section, in the order of the file's reference.
func (v *validator) all() {
	v.general()
	v.web()
	v.docker()
	v.http()
	v.alertmanager()
	v.upstreams()
	v.receivers()
	v.timeIntervals()
	v.guards("defaults", strictyaml.Child(v.root, "defaults"), v.c.Defaults)
	v.limits("global_limits", strictyaml.Child(v.root, "global_limits"), v.c.GlobalLimits)
	v.blastRadius()
	v.flap()
	v.storm()
	v.guardrails()
	v.policies()
}

func (v *validator) at(n *yaml.Node, fix, format string, args ...any) {
	if n == nil {
		n = v.root
	}
	v.found = append(v.found, strictyaml.At(n, fix, format, args...))
}

// value is the node of a key, or the mapping itself where the key is missing.
func value(n *yaml.Node, key string) *yaml.Node {
	if c := strictyaml.Child(n, key); c != nil {
		return c
	}
	return strictyaml.Resolve(n)
}

// items are the entries of a list.
func items(n *yaml.Node) []*yaml.Node {
	n = strictyaml.Resolve(n)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		out[i] = strictyaml.Resolve(c)
	}
	return out
}

// entryPath names an entry of a list in messages: by its name where that may be
// shown, else by its index.
func entryPath(list string, i int, entry *yaml.Node, nm string) string {
	if nm == "" || strictyaml.IsExpanded(strictyaml.Child(entry, "name")) {
		return list + "[" + strconv.Itoa(i) + "]"
	}
	return list + "[" + nm + "]"
}

// sound says whether decoding found nothing at or under a node, nor under what
// its aliases stand for.
func (v *validator) sound(n *yaml.Node) bool {
	return n == nil || len(v.bad) == 0 || v.soundUnder(n, map[*yaml.Node]bool{})
}

func (v *validator) soundUnder(n *yaml.Node, seen map[*yaml.Node]bool) bool {
	from, to := span(n)
	// bad is in source order: the first mistake that is not before the node decides.
	i := sort.Search(len(v.bad), func(i int) bool { return !before(at(v.bad[i]), from) })
	if v.bad[0].Line == 0 || i < len(v.bad) && !before(to, at(v.bad[i])) {
		return false
	}
	return v.soundAliases(n, seen)
}

// soundAliases judges each anchor once, however often it is used.
func (v *validator) soundAliases(n *yaml.Node, seen map[*yaml.Node]bool) bool {
	if n.Kind == yaml.AliasNode && n.Alias != nil && !seen[n.Alias] {
		seen[n.Alias] = true
		return v.soundUnder(n.Alias, seen)
	}
	for _, c := range n.Content {
		if !v.soundAliases(c, seen) {
			return false
		}
	}
	return true
}

func at(m strictyaml.Mistake) place { return place{m.Line, m.Column} }

// span of a node: from its start to the last character of what is under it.
func span(n *yaml.Node) (from, to place) {
	from = place{n.Line, n.Column}
	to = from
	if n.Kind == yaml.ScalarNode {
		to.column = math.MaxInt
		if lines := strings.Count(n.Value, "\n"); lines > 0 {
			to.line += lines
		} else {
			to.column = n.Column + len(n.Value) + 1
		}
	}
	for _, c := range n.Content {
		if _, end := span(c); before(to, end) {
			to = end
		}
	}
	return from, to
}

func before(a, b place) bool {
	return a.line < b.line || a.line == b.line && a.column < b.column
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

const nameFix = "use letters, digits, dots, underscores and dashes, beginning with a letter or digit, at most 63"

// named checks the name of an entry and that no earlier entry has it.
func (v *validator) named(what string, n *yaml.Node, nm string, seen map[string]int) {
	at := value(n, "name")
	switch {
	case nm == "":
		article := "a"
		if strings.ContainsRune("aeiou", rune(what[0])) {
			article = "an"
		}
		v.at(at, "add `name: ...`", "%s %s has no name", article, what)
	case !name.MatchString(nm):
		v.at(at, nameFix, "%s name %s is not valid", what, strictyaml.Shown(at))
	case seen[nm] > 0:
		v.at(at, "give each its own name", "%s %s is declared twice, first on line %d", what, strictyaml.Shown(at), seen[nm])
	default:
		seen[nm] = at.Line
	}
}

// oneOf checks a word against those that are allowed.
func (v *validator) oneOf(path string, n *yaml.Node, key, word string, allowed ...string) {
	if word == "" && strictyaml.Child(n, key) == nil || slices.Contains(allowed, word) {
		return
	}
	at := value(n, key)
	v.at(at, "write "+strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1],
		"%s %s is not known", path, strictyaml.Shown(at))
}

func (v *validator) general() {
	if n := strictyaml.Child(v.root, "mode"); v.sound(n) {
		v.oneOf("mode", v.root, "mode", string(v.c.Mode), string(policy.DryRun), string(policy.Live))
	}
	if n := strictyaml.Child(v.root, "storage"); v.sound(n) {
		if v.c.Storage.Path == "" {
			v.at(value(n, "path"), "write the path of a file, or remove the key for data/remediator.db", "storage.path is empty")
		} else if strings.HasSuffix(v.c.Storage.Path, "/") {
			v.at(value(n, "path"), "write the path of a file: data/remediator.db", "storage.path names a directory")
		}
	}
	if n := strictyaml.Child(v.root, "replica"); n != nil && v.sound(n) && !name.MatchString(v.c.Replica) {
		v.at(n, nameFix, "replica %s is not a valid name", strictyaml.Shown(n))
	}
	if n := strictyaml.Child(strictyaml.Child(v.root, "audit"), "key"); n != nil && v.sound(n) && v.c.Audit.Key == "" {
		v.at(n, "write ${file:PATH} of a file that holds a key, or remove the key", "audit.key is empty")
	}
}
