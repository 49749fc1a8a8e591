package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// notYet are kinds of the contract (design §6) that this version does not have: a
// trailing dot stands for a whole technology.
var notYet = []string{
	"docker.update_memory", "docker.prune", "docker.exec", "docker.run", "docker.stats", "docker.env", "docker.disk_usage",
	"postgres.", "redis.", "tls.expiry", "host.disk", "prometheus.query", "command", "notify",
}

// NotYet says whether a name is a kind that remediator will have and has not.
func NotYet(name string) bool {
	return slices.ContainsFunc(notYet, func(n string) bool {
		return name == n || strings.HasSuffix(n, ".") && strings.HasPrefix(name, n)
	})
}

// Registry finds kinds by name.
type Registry struct{ kinds map[string]Kind }

// NewRegistry joins the lists of the technologies; a name may come up once.
func NewRegistry(lists ...[]Kind) (*Registry, error) {
	r := &Registry{kinds: map[string]Kind{}}
	for _, list := range lists {
		for _, k := range list {
			if _, taken := r.kinds[k.Name]; taken || k.Decode == nil || k.Name == "" {
				return nil, fmt.Errorf("kind %q is registered twice, or without a decoder", k.Name)
			}
			r.kinds[k.Name] = k
		}
	}
	return r, nil
}

// Lookup finds a kind.
func (r *Registry) Lookup(name string) (Kind, bool) {
	k, ok := r.kinds[name]
	return k, ok
}

// Names of all kinds, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.kinds)) }

// Suggest is the fix for an unknown name: the kind that it most likely means, or all.
func (r *Registry) Suggest(name string) string { return strictyaml.Suggest(name, r.Names()) }
