package strictyaml

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"go.yaml.in/yaml/v3"
)

// Matchers is a list of strings, each an Alertmanager matcher (`alertname="X"`,
// `job=~"a|b"`) in its UTF-8 syntax. All of them must match.
type Matchers labels.Matchers

// position begins the errors of Alertmanager's parser: columns from 0.
var position = regexp.MustCompile(`^(\d+):(\d+): `)

const matcherFix = `write label, operator (=, !=, =~, !~) and quoted value: 'alertname="ServiceDown"'`

// UnmarshalYAML reads the list and collects every bad matcher, each with its
// place inside the string.
func (m *Matchers) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return Mistake{Message: "must be a list of matchers, not " + describe(n), Fix: `write a list: ['alertname="ServiceDown"']`}
	}
	out := make(Matchers, 0, len(n.Content))
	var ms Mistakes
	for _, c := range n.Content {
		if c.Kind == yaml.AliasNode && c.Alias != nil {
			c = c.Alias
		}
		if c.Kind != yaml.ScalarNode || isNull(c) {
			ms = append(ms, At(c, matcherFix, "a matcher must be text, not %s", describe(c)))
			continue
		}
		one, err := parse.Matcher(c.Value)
		if err != nil {
			ms = append(ms, badMatcher(c, err))
			continue
		}
		out = append(out, one)
	}
	*m = out
	return ms.Err()
}

// badMatcher places a parser's error at the character it is about.
func badMatcher(n *yaml.Node, err error) Mistake {
	if IsExpanded(n) { // the parser quotes parts of the value
		return At(n, matcherFix, "%s is not a matcher", withheld)
	}
	text := err.Error()
	if re, ok := strings.CutPrefix(text, "failed to create matcher: error parsing regexp: "); ok {
		return At(n, "mend the expression; its syntax is RE2, and it is anchored at both ends", "matcher %s: bad regular expression: %s", Shown(n), re)
	}
	if strings.HasPrefix(text, "expected 1 matcher") {
		return At(n, "make each an entry of the list", "matcher %s holds more than one matcher", Shown(n))
	}
	if strings.TrimSpace(n.Value) == "" {
		return At(n, matcherFix, "a matcher is empty")
	}
	at := position.FindStringSubmatch(text)
	if at == nil {
		return At(n, matcherFix, "matcher %s: %s", Shown(n), text)
	}
	start, _ := strconv.Atoi(at[1])
	end, _ := strconv.Atoi(at[2])
	return Within(n, start, end-start, matcherFix, "matcher %s: %s", Shown(n), text[len(at[0]):])
}
