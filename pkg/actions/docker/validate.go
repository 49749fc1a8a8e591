package docker

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var nameForm = regexp.MustCompile(`^[a-z0-9-]+$`)

// validate checks what New cannot work with. Config files are checked before, by
// pkg/config, with places.
func (c Config) validate() error {
	if !nameForm.MatchString(c.Name) {
		return fmt.Errorf("docker %q: a name has lower-case letters, digits and dashes", c.Name)
	}
	if c.Project == "" {
		return fmt.Errorf("docker %q: project is missing: the Compose project in which services are looked up", c.Name)
	}
	for i, s := range c.Services {
		if s == "" || slices.Contains(c.Services[:i], s) {
			return fmt.Errorf("docker %q: service %q is empty or listed twice", c.Name, s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(c.DependsOn)) {
		for _, name := range append([]string{s}, c.DependsOn[s]...) {
			if !slices.Contains(c.Services, name) {
				return fmt.Errorf("docker %q: depends_on: service %q is not declared in services", c.Name, name)
			}
		}
		if path := circle(c.DependsOn, []string{s}); path != nil {
			return fmt.Errorf("docker %q: depends_on goes round in a circle: %s", c.Name, strings.Join(path, " -> "))
		}
	}
	return nil
}

// circle is a way from the end of a path back to its beginning, or nil.
func circle(graph map[string][]string, path []string) []string {
	for _, on := range graph[path[len(path)-1]] {
		if on == path[0] {
			return append(path, on)
		}
		if slices.Contains(path, on) {
			continue // a circle, but not through the beginning: found from there
		}
		if p := circle(graph, append(slices.Clone(path), on)); p != nil {
			return p
		}
	}
	return nil
}
