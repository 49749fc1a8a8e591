package statuspage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

// maxListed components are named in an error.
const maxListed = 30

// scope is what of a page is looked at.
type scope struct {
	whole bool
	ours  []component
	// ids of ours and of the groups that they are in: an incident of a group is one
	// of its members.
	ids   map[text]bool
	names map[text]bool
}

// newScope finds the selected components on a page; without selectors all of them. A
// selector is an id, a name or group/name. Names repeat: all that match are taken,
// and of a group all members. One that matches nothing is an error.
func newScope(s *summary, selectors []string) (scope, error) {
	sc := scope{whole: len(selectors) == 0, ids: map[text]bool{}, names: map[text]bool{}}
	groups := map[text]text{} // name by id
	for _, c := range s.Components {
		if c.IsGroup {
			groups[c.ID] = c.Name
		}
	}
	var missing []string
	chosen := map[text]bool{}
	for _, sel := range selectors {
		found := false
		for _, c := range s.Components {
			if c.selected(strings.TrimSpace(sel), groups) {
				chosen[c.ID], found = true, true
			}
		}
		if !found {
			missing = append(missing, fmt.Sprintf("%q", sel))
		}
	}
	if len(missing) > 0 {
		return scope{}, fmt.Errorf("no component %s on the page; it has: %s", strings.Join(missing, ", "), listed(s, groups))
	}
	for _, c := range s.Components {
		if sc.whole && c.IsGroup {
			continue // its members say it
		}
		if sc.whole || chosen[c.ID] || (c.Group != "" && chosen[c.Group]) {
			sc.add(c)
		}
	}
	return sc, nil
}

// well says whether all that is ours is operational.
func (sc *scope) well() bool {
	return !slices.ContainsFunc(sc.ours, func(c component) bool { return componentImpact(c.Status) != upstream.ImpactNone })
}

func (sc *scope) add(c component) {
	sc.ours = append(sc.ours, c)
	sc.ids[c.ID], sc.names[c.Name] = true, true
	if c.Group != "" {
		sc.ids[c.Group] = true
	}
}

func (c component) selected(sel string, groups map[text]text) bool {
	name := strings.TrimSpace(string(c.Name))
	if sel == string(c.ID) || sel == name {
		return true
	}
	group := groups[c.Group]
	return c.Group != "" && group != "" && sel == string(group)+"/"+name
}

// concerns says whether an incident is about something of ours: one that names no
// component is about all.
func (sc *scope) concerns(i *incident) bool {
	return sc.whole || len(i.Components) == 0 || slices.ContainsFunc(i.Components, func(n named) bool {
		return sc.ids[n.ID] || (n.ID == "" && sc.names[n.Name])
	})
}

// listed components of a page, for an error.
func listed(s *summary, groups map[text]text) string {
	var names []string
	for _, c := range s.Components {
		name := string(c.Name)
		if g := groups[c.Group]; c.Group != "" && g != "" {
			name = string(g) + "/" + name
		}
		if !c.IsGroup {
			names = append(names, name)
		}
	}
	if n := len(names) - maxListed; n > 0 {
		names = append(names[:maxListed], fmt.Sprintf("and %d more", n))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
