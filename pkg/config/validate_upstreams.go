package config

import (
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// minInterval between two looks at a status page: pages answer 429 to who asks more.
const minInterval = Duration(5 * time.Second)

// maxStaleAfter is how long the last answer of a page may stand for its state.
const maxStaleAfter = Duration(time.Hour)

func (v *validator) upstreams() {
	seen := map[string]int{}
	for i, entry := range items(strictyaml.Child(v.root, "upstreams")) {
		if i >= len(v.c.Upstreams) || !v.sound(entry) {
			continue
		}
		u := v.c.Upstreams[i]
		path := entryPath("upstreams", i, entry, u.Name)
		v.named("upstream", entry, u.Name, seen)
		v.statusPage(path+".statuspage", entry, u.StatusPage)
		v.components(path, entry, u.Components)
		v.oneOf(path+".min_impact", entry, "min_impact", u.MinImpact, upstream.ImpactMinor, upstream.ImpactMajor, upstream.ImpactCritical)
		v.oneOf(path+".unknown", entry, "unknown", u.Unknown, UnknownSuppress, UnknownAllow)
		v.looking(path, entry, u)
		v.positive(path+".max_suppression", value(entry, "max_suppression"), &u.MaxSuppression, "people are told after that time; write 6h for the default")
	}
}

// looking checks how often a page is looked at and when its silence counts.
func (v *validator) looking(path string, entry *yaml.Node, u Upstream) {
	at := value(entry, "interval")
	switch {
	case u.Interval < minInterval:
		v.at(at, "write 30s for the default", "%s.interval %s is too short, at least %s", path, strictyaml.Shown(at), minInterval)
	case u.Interval > maxStaleAfter/2:
		v.at(at, "write 30s for the default", "%s.interval %s is too long, at most %s", path, strictyaml.Shown(at), maxStaleAfter/2)
	case u.StaleAfter > maxStaleAfter:
		at = value(entry, "stale_after")
		v.at(at, "write 3m for the default", "%s.stale_after %s is too long, at most %s: what a page said that long ago says nothing about now", path, strictyaml.Shown(at), maxStaleAfter)
	case u.StaleAfter < 2*u.Interval:
		if at = strictyaml.Child(entry, "stale_after"); at == nil {
			at = value(entry, "interval")
		}
		v.at(at, "make stale_after at least "+(2*u.Interval).String()+", or the interval shorter",
			"%s.stale_after is %s and the interval %s: one lost answer would make the state unknown", path, u.StaleAfter, u.Interval)
	}
}

// statusPage checks the URL of a page: the page's own, not one of its API.
func (v *validator) statusPage(path string, entry *yaml.Node, raw string) {
	at := value(entry, "statuspage")
	const fix = "write the page's own URL: https://status.stellar.org"
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		v.at(at, fix, "%s is missing", path)
	case err != nil:
		v.at(at, fix, "%s %s is not a URL", path, strictyaml.Shown(at))
	case u.Scheme != "http" && u.Scheme != "https":
		v.at(at, fix, "%s %s begins with neither http:// nor https://", path, strictyaml.Shown(at))
	case u.Hostname() == "":
		v.at(at, fix, "%s %s names no host", path, strictyaml.Shown(at))
	case u.User != nil:
		v.at(at, "a status page is public: take the user and password out of the URL", "%s has a user or password in it", path)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		v.at(at, "cut it off from ? or #", "%s %s has a query or a fragment", path, strictyaml.Shown(at))
	case strings.Contains(u.Path, "/api/") || strings.HasSuffix(u.Path, ".json"):
		v.at(at, fix, "%s %s is a URL of the page's API", path, strictyaml.Shown(at))
	}
}

func (v *validator) components(path string, entry *yaml.Node, words []string) {
	seen := map[string]bool{}
	for i, n := range items(strictyaml.Child(entry, "components")) {
		switch w := words[i]; {
		case strings.TrimSpace(w) == "":
			v.at(n, "write a component's id, name or group/name; `components: []` for the whole page", "%s.components[%d] is empty", path, i)
		case seen[w]:
			v.at(n, "keep one of them", "component %s is listed twice", strictyaml.Shown(n))
		default:
			seen[w] = true
		}
	}
}
