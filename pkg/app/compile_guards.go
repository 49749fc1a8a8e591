package app

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/actions/httprequest"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// guards sets what guards need beside the policies: guardrails, flap, storm and the
// bound of unhealthy services. Mistakes are added to those that were found.
func (c *compiler) guards(f *config.File, engines *docker.Engines, snap *engine.Snapshot) {
	snap.Guardrails = c.guardrails(f, engines)
	snap.Flap = flap(f)
	snap.Storm = storm(f)
	snap.MaxUnhealthy = f.Config.BlastRadius.MaxUnhealthy
}

func flap(f *config.File) policy.Flap {
	in := f.Config.Flap
	return policy.Flap{Changes: in.Changes, Within: in.Within.Std(), Clear: in.Clear.Std()}
}

func storm(f *config.File) policy.Storm {
	in := f.Config.Storm
	return policy.Storm{Episodes: in.Episodes, Within: in.Within.Std(), Clear: in.Clear.Std()}
}

// declaredTargets are all targets that anything may act upon.
func declaredTargets(f *config.File, engines *docker.Engines) []string {
	return append(engines.Targets(), httprequest.Targets(httpEntries(f))...)
}

// guardrails compiles those of the file, in its order.
func (c *compiler) guardrails(f *config.File, engines *docker.Engines) []policy.Guardrail {
	all := declaredTargets(f, engines)
	out := make([]policy.Guardrail, 0, len(f.Config.Guardrails))
	for i := range f.Config.Guardrails {
		g := &f.Config.Guardrails[i]
		c.knownTargets(g, all)
		c.knownChanges(g)
		out = append(out, policy.Guardrail{
			Name: g.Name, Targets: guarded(g, all), Actions: slices.Clone(g.Actions), SuppressWhile: g.SuppressWhile.Settings(),
		})
	}
	return out
}

// guarded are the targets of a guardrail: those it lists, and its services on every
// engine that declares them. None where it names neither: it is about any.
func guarded(g *config.Guardrail, all []string) []string {
	out := slices.Clone(g.Targets)
	for _, t := range all {
		engineName, service, ok := strings.Cut(t, "/")
		if ok && strings.HasPrefix(engineName, "docker:") && slices.Contains(g.Services, service) && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func (c *compiler) knownTargets(g *config.Guardrail, all []string) {
	for i, n := range listOf(g.Node, "targets") {
		if t := g.Targets[i]; !slices.Contains(all, t) {
			c.bad(n, strings.Replace(strictyaml.Suggest(t, all), "known here: ", "declare it, or write one of ", 1),
				"guardrail %q: there is no target %s", g.Name, strictyaml.Shown(n))
		}
	}
}

// laterChanges are the kinds of the contract that change something and that this
// version does not have. A guardrail may name them already: it must be there before
// the first step that it is about.
var laterChanges = []string{
	"docker.update_memory", "docker.prune", "docker.exec", "docker.run",
	"postgres.terminate_idle", "postgres.terminate_long_running", "postgres.vacuum_analyze",
	"command",
}

// knownChanges refuses a guardrail on what is no kind, or changes nothing: a misspelt
// one would guard nothing.
func (c *compiler) knownChanges(g *config.Guardrail) {
	for i, n := range listOf(g.Node, "actions") {
		name := g.Actions[i]
		kind, ok := c.registry.Lookup(name)
		switch {
		case ok && kind.Class == actions.Changes, slices.Contains(laterChanges, name):
		case ok:
			c.bad(n, "remove it: guardrails are about what changes something", "guardrail %q: %s changes nothing", g.Name, name)
		default:
			c.bad(n, strictyaml.Suggest(name, c.changes()), "guardrail %q: there is no action %s", g.Name, strictyaml.Shown(n))
		}
	}
}

// changes are the names of all kinds that change something, of this version or not.
func (c *compiler) changes() []string {
	out := slices.Clone(laterChanges)
	for _, name := range c.registry.Names() {
		if kind, _ := c.registry.Lookup(name); kind.Class == actions.Changes && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// listOf are the entries of a mapping's list.
func listOf(n *yaml.Node, key string) []*yaml.Node {
	list := strictyaml.Child(n, key)
	if list == nil {
		return nil
	}
	out := make([]*yaml.Node, len(list.Content))
	for i, entry := range list.Content {
		out[i] = strictyaml.Resolve(entry)
	}
	return out
}
