package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

const contradictedFix = `all matchers of a list must hold for one alert: keep one per label, or write alternatives as 'label=~"a|b"'`

// contradicted is the first label that no value satisfies all matchers of; "": none
// is seen. Only matchers that list their values say so (= and =~ of plain words): what
// two patterns have in common is not looked for.
func contradicted(ms strictyaml.Matchers) string {
	for _, m := range ms {
		values := listedValues(m)
		if len(values) > 0 && !slices.ContainsFunc(values, func(value string) bool { return allMatch(ms, m.Name, value) }) {
			return m.Name
		}
	}
	return ""
}

func allMatch(ms strictyaml.Matchers, label, value string) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name == label && !m.Matches(value) })
}

// listedValues are all that a matcher matches; nil where it does not list them.
func listedValues(m *labels.Matcher) []string {
	switch m.Type {
	case labels.MatchEqual:
		return []string{m.Value}
	case labels.MatchRegexp:
		if words := strings.Split(m.Value, "|"); !slices.ContainsFunc(words, func(w string) bool { return regexp.QuoteMeta(w) != w }) {
			return words
		}
	}
	return nil
}
