package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// parseOne reads the one document of a file, or says what keeps it from being one.
func parseOne(data []byte) (*yaml.Node, *strictyaml.Mistake) {
	if m := badBytes(data); m != nil {
		return nil, m
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	root := strictyaml.Resolve(&doc)
	switch {
	case errors.Is(err, io.EOF) || err == nil && root != nil && root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		return nil, &strictyaml.Mistake{Message: "the configuration is empty", Fix: "write at least one policy; docs/configuration.md has every key"}
	case err != nil:
		return nil, syntaxMistake(data, err)
	case root.Kind != yaml.MappingNode:
		m := strictyaml.At(root, "begin with a key, such as `mode: dry-run`", "the configuration must be a mapping of keys to values")
		return nil, &m
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		m := strictyaml.Mistake{
			Line: documentLine(data, second.Line), Column: 1,
			Message: "a second YAML document begins here, and only one is read",
			Fix:     "remove the `---` line, or move what follows it to a file of its own",
		}
		return nil, &m
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxMistake(data, err)
	}
	return root, nil
}

// documentLine is the line of the `---` before a document's first line.
func documentLine(data []byte, at int) int {
	lines := strings.Split(string(data), "\n")
	for i := min(at, len(lines)) - 1; i > 0; i-- {
		if strings.HasPrefix(lines[i], "---") {
			return i + 1
		}
	}
	return at
}

func badBytes(data []byte) *strictyaml.Mistake {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return &strictyaml.Mistake{
			Line: 1, Column: 1, Width: 1,
			Message: "the file begins with a byte order mark", Fix: "save it as UTF-8 without one",
		}
	}
	for n, line := range bytes.Split(data, []byte("\n")) {
		col := 1
		for len(line) > 0 {
			r, size := utf8.DecodeRune(line)
			switch {
			case r == utf8.RuneError && size == 1:
				return &strictyaml.Mistake{
					Line: n + 1, Column: col, Width: 1,
					Message: "this is not UTF-8", Fix: "save the file as UTF-8",
				}
			case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
				return &strictyaml.Mistake{
					Line: n + 1, Column: col, Width: 1,
					Message: "a control character is not allowed here", Fix: `remove it, or write it as "\x1b" within double quotes`,
				}
			}
			line, col = line[size:], col+1
		}
	}
	return nil
}

var libraryPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxMistake finds the line of a syntax error. The library's own line is that
// of the construct around it, often the first of the file, so the shortest
// beginning of the file that fails in the same way is looked for instead.
func syntaxMistake(data []byte, err error) *strictyaml.Mistake {
	text := libraryPrefix.ReplaceAllString(err.Error(), "")
	lines := strings.SplitAfter(string(data), "\n")
	line := sort.Search(len(lines), func(i int) bool {
		return syntaxError(strings.Join(lines[:i+1], "")) == text
	})
	line = min(line, len(lines)-1)
	body := strings.TrimRight(lines[line], "\r\n")
	column := len(body) - len(strings.TrimLeft(body, " "))
	width := utf8.RuneCountInString(strings.TrimSpace(body))
	if i := strings.IndexByte(body, '\t'); i >= 0 && (strings.Contains(text, "tab character") || strings.TrimSpace(body[:i]) == "") {
		column, width = utf8.RuneCountInString(body[:i]), 1
	}
	message, fix := explain(text, body)
	return &strictyaml.Mistake{Line: line + 1, Column: column + 1, Width: max(width, 1), Message: message, Fix: fix}
}

func syntaxError(text string) string {
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return ""
		}
		if err != nil {
			return libraryPrefix.ReplaceAllString(err.Error(), "")
		}
	}
}

// explain says a syntax error of the library in words, and its fix.
func explain(text, line string) (message, fix string) {
	tabbed := strings.HasPrefix(strings.TrimLeft(line, " "), "\t")
	for _, e := range []struct{ has, message, fix string }{
		{"tab character", "a tab in the indentation", "indent with spaces"},
		{"mapping values are not allowed", "a key is not expected here", "put the value in quotes if it contains `: `, else mend the indentation: keys of one mapping begin in the same column"},
		{"did not find expected key", "a key was expected here", "mend the indentation: keys of one mapping, and the dashes of one list, begin in the same column"},
		{"did not find expected '-' indicator", "a list entry was expected here", "mend the indentation: the dashes of one list begin in the same column"},
		{"unexpected end of stream", "a quote that is opened here is never closed", "close it; inside '...' a single quote is written twice"},
		{"did not find expected ',' or ']'", "a list in brackets is not closed", "close it with ], and put commas between its values"},
		{"did not find expected ',' or '}'", "a mapping in braces is not closed", "close it with }, and put commas between its keys"},
		{"did not find expected node content", "a value was expected", "write one, or close the bracket or brace"},
		{"cannot start any token", "a value begins with a character that YAML keeps for itself", "put the value in quotes"},
		{"block sequence entries", "a list cannot begin here", "begin it on a line of its own"},
		{"unknown anchor", text, "define the anchor with & before it is used, or put the value in quotes"},
		{"unknown escape character", "an unknown escape in double quotes", "write the value in single quotes, or the backslash twice"},
	} {
		if strings.Contains(text, e.has) {
			if tabbed {
				return "a tab in the indentation", "indent with spaces"
			}
			return e.message, e.fix
		}
	}
	return "this is not YAML: " + text, "mend the syntax"
}
