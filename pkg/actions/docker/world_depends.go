package docker

import (
	"maps"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/services"
)

// labelDepends is what Compose v2 says of a service's dependencies.
const labelDepends = "com.docker.compose.depends_on"

// dependsOn reads Compose's label: "postgres:service_healthy:false,redis". Without a
// condition it means what Compose means: started.
func dependsOn(label string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(label, ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), ":")
		condition, _, _ := strings.Cut(rest, ":")
		if name == "" {
			continue
		}
		if condition == "" {
			condition = services.ConditionStarted
		}
		out[name] = condition
	}
	return out
}

// graph is who depends on whom, and on which condition, by the labels of containers
// and by the configuration. What both say is said by the label: it has a condition.
func (en *engine) graph(list map[string]Container) map[string]map[string]string {
	out := map[string]map[string]string{}
	set := func(service, on, condition string) {
		if out[service] == nil {
			out[service] = map[string]string{}
		}
		if was, ok := out[service][on]; !ok || was == "" {
			out[service][on] = condition
		}
	}
	for _, id := range slices.Sorted(maps.Keys(list)) {
		for on, condition := range dependsOn(list[id].Labels[labelDepends]) {
			set(list[id].Labels[labelService], on, condition)
		}
	}
	for service, names := range en.DependsOn {
		for _, on := range names {
			set(service, on, "")
		}
	}
	return out
}

// ending is whether a service may end, by what those want that depend on it.
type ending int

const (
	mayNotEnd ending = iota // nobody depends on it, or somebody needs it healthy
	mayEnd                  // it is wanted started: an init job, whose end nobody waits for
	mustEnd                 // its successful end is waited for
)

// endings says of each service that is depended on whether it may end. One dependant
// that needs it healthy decides: what has ended is not.
func endings(graph map[string]map[string]string) map[string]ending {
	out := map[string]ending{}
	needed := map[string]bool{}
	for _, on := range graph {
		for name, condition := range on {
			switch condition {
			case services.ConditionHealthy:
				needed[name] = true
			case services.ConditionCompleted:
				out[name] = mustEnd
			default:
				out[name] = max(out[name], mayEnd)
			}
		}
	}
	maps.DeleteFunc(out, func(name string, _ ending) bool { return needed[name] })
	return out
}

// loop is a circle in the graph, or nil. Every service is visited once.
func loop(graph map[string]map[string]string) []string {
	done := map[string]bool{}
	var path []string
	var visit func(string) []string
	visit = func(s string) []string {
		if i := slices.Index(path, s); i >= 0 {
			return append(slices.Clone(path[i:]), s)
		}
		if done[s] {
			return nil
		}
		done[s] = true
		path = append(path, s)
		defer func() { path = path[:len(path)-1] }()
		for _, on := range slices.Sorted(maps.Keys(graph[s])) {
			if found := visit(on); found != nil {
				return found
			}
		}
		return nil
	}
	for _, s := range slices.Sorted(maps.Keys(graph)) {
		if found := visit(s); found != nil {
			return found
		}
	}
	return nil
}
