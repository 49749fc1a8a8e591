package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

var roles = []string{string(access.Alertmanager), string(access.Viewer), string(access.Operator)}

func (v *validator) web() {
	n := strictyaml.Child(v.root, "web")
	if !v.sound(n) {
		return
	}
	names := map[string]int{}
	for i, entry := range items(strictyaml.Child(n, "tokens")) {
		t := v.c.Web.Tokens[i]
		v.tokenName(entry, t.Name, names)
		if t.Role == "" {
			v.at(value(entry, "role"), "add role: alertmanager, viewer or operator", "token %q has no role", t.Name)
		} else {
			v.oneOf("role", entry, "role", string(t.Role), roles...)
		}
		if t.File == "" {
			v.at(value(entry, "file"), "write the path of a file that holds the token", "token %q has no file", t.Name)
		} else if _, err := os.Stat(resolvePath(v.dir, t.File)); errors.Is(err, fs.ErrNotExist) {
			at := value(entry, "file")
			v.at(at, "create it with a long random token in it; a relative path is relative to the configuration file",
				"token file %s does not exist", strictyaml.Shown(at))
		}
	}
	users := strictyaml.Child(n, "users")
	for _, user := range sorted(v.c.Web.Users) {
		key, _ := strictyaml.Pair(users, user)
		if user == "" {
			v.at(key, "write the name that the certificate or basic auth proves", "web.users has an empty name")
		}
		v.oneOf("role", users, user, string(v.c.Web.Users[user]), roles...)
	}
}

func (v *validator) tokenName(entry *yaml.Node, nm string, seen map[string]int) {
	at := value(entry, "name")
	switch {
	case nm == "":
		v.at(at, "add name: it is the actor in records", "a token has no name")
	case strings.ContainsFunc(nm, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		v.at(at, "write it without spaces", "token name %s has a space in it", strictyaml.Shown(at))
	case seen[nm] > 0:
		v.at(at, "give each its own name", "token %s is declared twice, first on line %d", strictyaml.Shown(at), seen[nm])
	default:
		seen[nm] = at.Line
	}
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (v *validator) http() {
	seen := map[string]int{}
	services := v.services()
	known := v.sound(strictyaml.Child(v.root, "docker"))
	for i, entry := range items(strictyaml.Child(v.root, "http")) {
		if !v.sound(entry) || i >= len(v.c.HTTP) {
			continue
		}
		h := v.c.HTTP[i]
		v.named("http entry", entry, h.Name, seen)
		v.url(entryPath("http", i, entry, h.Name)+".url", entry, h.URL)
		if h.Service != "" && known && !slices.Contains(services, h.Service) {
			at := value(entry, "service")
			v.at(at, declared(h.Service, services), "service %s is not declared in docker", strictyaml.Shown(at))
		}
	}
}

// declared is the fix for a service that is not declared.
func declared(word string, known []string) string {
	if len(known) == 0 {
		return "declare it under services of a docker entry"
	}
	return strings.Replace(strictyaml.Suggest(word, known), "known here: ", "declare it, or write one of ", 1)
}

func (v *validator) alertmanager() {
	n := strictyaml.Child(v.root, "alertmanager")
	if n == nil || !v.sound(n) || v.c.Alertmanager == nil {
		return
	}
	v.url("alertmanager.url", n, v.c.Alertmanager.URL)
	if err := v.c.Alertmanager.HTTP.Validate(); err != nil {
		v.httpClient(n, err)
	}
}

// httpClient places what Prometheus' HTTP settings refuse at the first key that
// the error names.
func (v *validator) httpClient(n *yaml.Node, err error) {
	text, at := err.Error(), n
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '"' })
	for i := 0; i+1 < len(n.Content); i += 2 {
		if slices.Contains(words, n.Content[i].Value) {
			at = n.Content[i]
			break
		}
	}
	fix := "write it as http_config of Prometheus wants it"
	switch {
	case strings.Contains(text, "at most one of"), strings.Contains(text, "not compatible"):
		fix = "keep one of them"
	case strings.Contains(text, "must be configured"):
		fix = "add what is missing"
	case strings.Contains(text, `use "basic_auth"`):
		fix = "write basic_auth: {username: ..., password: ...}"
	}
	v.at(at, fix, "alertmanager: %s", text)
}

// url checks the key url of an entry: http or https, with a host.
func (v *validator) url(path string, entry *yaml.Node, raw string) {
	at := value(entry, "url")
	const fix = "write it as http://host:port or https://host:port"
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		v.at(at, fix, "%s is missing", path)
	case err != nil:
		v.at(at, fix, "%s %s is not a URL", path, strictyaml.Shown(at))
	case u.Scheme != "http" && u.Scheme != "https":
		v.at(at, fix, "%s %s begins with neither http:// nor https://", path, strictyaml.Shown(at))
	case u.Host == "":
		v.at(at, fix, "%s %s names no host", path, strictyaml.Shown(at))
	case u.User != nil:
		v.at(at, "take it out of the URL; write bearer, basic_auth or authorization instead", "%s has a user or password in it", path)
	}
}

func (v *validator) receivers() {
	seen := map[string]int{}
	for i, entry := range items(strictyaml.Child(v.root, "receivers")) {
		if v.sound(entry) && i < len(v.c.Receivers) {
			v.named("receiver", entry, v.c.Receivers[i].Name, seen)
		}
	}
}
