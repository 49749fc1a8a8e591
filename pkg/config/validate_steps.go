package config

import (
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

var stepID = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reserved words may not be step ids: they are operators and literals of the
// expression language of `if`, or names that its environment has already.
var reserved = []string{
	"and", "or", "not", "in", "matches", "contains", "let", "if", "else", "nil", "true", "false",
	"labels", "annotations", "severity",
}

// phases of a policy, in the order in which they run.
func phases(p *Policy) []struct {
	Key   string
	Steps []Step
} {
	return []struct {
		Key   string
		Steps []Step
	}{{"confirm", p.Confirm}, {"steps", p.Steps}, {"verify", p.Verify}, {"on_failure", p.OnFailure}}
}

func (v *validator) steps(path string, entry *yaml.Node, p *Policy) {
	if len(p.Steps) == 0 {
		v.at(value(entry, "steps"), "add steps: [{uses: diagnose}] at least", "policy %q has no steps and would do nothing", p.Name)
	}
	deadline := pick(p.Guards.Deadline, v.c.Defaults.Deadline)
	ids := map[string]int{}
	for _, phase := range phases(p) {
		for i, n := range items(strictyaml.Child(entry, phase.Key)) {
			v.step(fmt.Sprintf("%s.%s[%d]", path, phase.Key, i), n, phase.Steps[i], deadline, ids)
		}
	}
}

func (v *validator) step(path string, n *yaml.Node, s Step, deadline Duration, ids map[string]int) {
	if s.Uses == "" {
		v.at(value(n, "uses"), "add uses: docker.restart, or another kind of docs/actions", "%s has no uses", path)
	}
	if id := strictyaml.Child(n, "id"); id != nil {
		v.id(id, s.ID, ids)
	}
	if at := strictyaml.Child(n, "if"); at != nil && s.If == "" {
		v.at(at, `write an expression over earlier steps, such as "not pg.ok", or remove the key`, "%s.if is empty", path)
	}
	v.oneOf(path+".expect", n, "expect", s.Expect, ExpectOK, ExpectFailure)
	v.oneOf(path+".on_refused", n, "on_refused", s.OnRefused, "end", "skip", "wait")
	v.approval(path+".approval", strictyaml.Child(n, "approval"), s.Approval)
	for key, d := range map[string]*Duration{"within": s.Within, "timeout": s.Timeout} {
		at := value(n, key)
		v.positive(path+"."+key, at, d, "write a duration such as 30s, or remove the key")
		if d != nil && *d > deadline {
			v.at(at, "shorten it, or raise guards.deadline of the policy", "%s.%s %s is longer than the deadline of the remediation, %s", path, key, strictyaml.Shown(at), deadline)
		}
	}
}

func (v *validator) id(at *yaml.Node, id string, seen map[string]int) {
	switch {
	case !stepID.MatchString(id):
		v.at(at, "use lower-case letters, digits and underscores, beginning with a letter: pg_ready", "step id %s is not an id", strictyaml.Shown(at))
	case slices.Contains(reserved, id):
		v.at(at, "choose another: the expressions of `if` use this word", "step id %s is a reserved word", strictyaml.Shown(at))
	case seen[id] > 0:
		v.at(at, "give each step of a policy its own id", "step id %s is used twice, first on line %d", strictyaml.Shown(at), seen[id])
	default:
		seen[id] = at.Line
	}
}
