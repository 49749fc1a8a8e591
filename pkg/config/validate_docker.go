package config

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// services are all declared ones, of every engine.
func (v *validator) services() []string {
	var out []string
	for _, d := range v.c.Docker {
		out = append(out, d.Services...)
	}
	return out
}

func (v *validator) docker() {
	seen, engines := map[string]int{}, map[[2]string]int{}
	for i, entry := range items(strictyaml.Child(v.root, "docker")) {
		if !v.sound(entry) || i >= len(v.c.Docker) {
			continue
		}
		d := &v.c.Docker[i]
		v.named("docker entry", entry, d.Name, seen)
		if d.Host == "" && strictyaml.Child(entry, "host") == nil {
			d.Host = DefaultHost
		}
		v.host(entry, d.Host)
		if d.Project == "" {
			v.at(value(entry, "project"), "add project: the name that `docker compose ls` shows", "docker entry %q has no project", d.Name)
		}
		// Two names for one container would be two locks and two sets of counters.
		engine := [2]string{engineAt(d.Host), d.Project}
		if line := engines[engine]; line > 0 && d.Project != "" {
			v.at(value(entry, "project"), "list its services in one entry", "the same project of the same engine is declared twice, first on line %d", line)
		}
		engines[engine] = entry.Line
		v.declaredServices(entry, d)
		v.dependsOn(entry, d)
	}
}

func (v *validator) host(entry *yaml.Node, host string) {
	at := value(entry, "host")
	u, err := url.Parse(host)
	const fix = "write unix:///var/run/docker.sock, or tcp://127.0.0.1:port of a local proxy"
	switch {
	case err != nil:
		v.at(at, fix, "host %s is not a URL", strictyaml.Shown(at))
	case u.Scheme == "ssh":
		v.at(at, fix, "host with ssh:// is not supported yet")
	case u.Scheme == "unix" && u.Host+u.Path != "" && u.Host == "":
	case u.Scheme == "unix":
		v.at(at, "write three slashes: unix:///var/run/docker.sock", "host %s has no absolute path", strictyaml.Shown(at))
	case u.Scheme == "tcp" && access.LoopbackHost(u.Hostname()):
	case u.Scheme == "tcp" && u.Host != "":
		v.at(at, "use the socket, or a proxy on this host that speaks TLS", "host %s would be reached without TLS, which gives root to everybody on the way; tcp:// with TLS is not supported yet", strictyaml.Shown(at))
	default:
		v.at(at, fix, "host %s is not one of a Docker engine", strictyaml.Shown(at))
	}
}

func (v *validator) declaredServices(entry *yaml.Node, d *Docker) {
	list := strictyaml.Child(entry, "services")
	if len(d.Services) == 0 {
		v.at(value(entry, "services"), "list the services that may be touched: services: [api, redis]",
			"docker entry %q declares no services, so nothing could ever be done", d.Name)
	}
	seen := map[string]bool{}
	for i, n := range items(list) {
		s := d.Services[i]
		switch {
		case !name.MatchString(s):
			v.at(n, nameFix, "service %s is not a valid name", strictyaml.Shown(n))
		case seen[s]:
			v.at(n, "keep one of them", "service %s is listed twice", strictyaml.Shown(n))
		}
		seen[s] = true
	}
}

func (v *validator) dependsOn(entry *yaml.Node, d *Docker) {
	deps := strictyaml.Child(entry, "depends_on")
	whole := true
	for _, s := range sorted(d.DependsOn) {
		key, list := strictyaml.Pair(deps, s)
		if !slices.Contains(d.Services, s) {
			whole = false
			v.at(key, declared(s, d.Services), "depends_on: service %q is not declared in services", s)
		}
		for i, n := range items(list) {
			if on := d.DependsOn[s][i]; !slices.Contains(d.Services, on) {
				whole = false
				v.at(n, declared(on, d.Services), "depends_on: service %s is not declared in services", strictyaml.Shown(n))
			}
		}
	}
	if !whole {
		return
	}
	if cycle := findCycle(d.DependsOn); cycle != nil {
		key, _ := strictyaml.Pair(deps, cycle[0])
		v.at(key, "remove one of these dependencies", "depends_on goes round in a circle: %s", strings.Join(cycle, " -> "))
	}
}

// findCycle gives the first cycle of a graph in name order, its first node
// repeated at its end, or nil.
func findCycle(graph map[string][]string) []string {
	done := map[string]bool{}
	var path []string
	var visit func(s string) []string
	visit = func(s string) []string {
		if i := slices.Index(path, s); i >= 0 {
			return append(slices.Clone(path[i:]), s)
		}
		if done[s] {
			return nil
		}
		path = append(path, s)
		defer func() { path = path[:len(path)-1] }()
		for _, on := range graph[s] {
			if c := visit(on); c != nil {
				return c
			}
		}
		done[s] = true
		return nil
	}
	for _, s := range sorted(graph) {
		if c := visit(s); c != nil {
			return c
		}
	}
	return nil
}
