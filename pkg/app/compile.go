package app

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// compiler turns the policies of a file into runbooks, with all their mistakes.
type compiler struct {
	registry *actions.Registry
	found    strictyaml.Mistakes
}

func (c *compiler) bad(n *yaml.Node, fix, format string, args ...any) {
	c.found = append(c.found, strictyaml.At(n, fix, format, args...))
}

// runbook compiles one policy.
func (c *compiler) runbook(f *config.File, p *config.Policy) *engine.Runbook {
	rb := &engine.Runbook{Policy: f.Config.Policy(p), Hash: hashNode(p.Node)}
	// Ids of confirm are known to steps, those of steps to verify and on_failure.
	known := newOutputs()
	rb.Confirm = c.steps(p, engine.PhaseConfirm, p.Confirm, known)
	rb.Steps = c.steps(p, engine.PhaseSteps, p.Steps, known)
	rb.Verify = c.steps(p, engine.PhaseVerify, p.Verify, known)
	rb.OnFailure = c.steps(p, engine.PhaseOnFailure, p.OnFailure, known)
	c.whole(p, rb)
	return rb
}

// hashNode identifies a policy's text: a held remediation resumes only into the
// policy that it was started with.
func hashNode(n *yaml.Node) string {
	text, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// whole checks what concerns several parts of a policy.
func (c *compiler) whole(p *config.Policy, rb *engine.Runbook) {
	key, _ := strictyaml.Pair(p.Node, "steps")
	if key == nil {
		key = p.Node
	}
	if len(rb.Steps) == 0 && len(p.Steps) == 0 {
		c.bad(key, "add steps: a check, an action, diagnose or escalate", "policy %q has no steps", p.Name)
	}
	change, known := changing(p, rb)
	if change != nil && p.Confirm == nil {
		c.bad(key, "add confirm: a check that proves the symptom right before acting; or opt out with `confirm: []`",
			"policy %q changes something (%s) but confirms nothing", p.Name, change.Kind.Name)
	}
	if change == nil && known && p.HoldOnFailure {
		hold, _ := strictyaml.Pair(p.Node, "hold_on_failure")
		c.bad(hold, "remove it", "policy %q has hold_on_failure, but no step that changes something: there is nothing to quarantine", p.Name)
	}
}

// changing is the first step that changes something. It is not known whether there is
// none while the mistake of a step stands.
func changing(p *config.Policy, rb *engine.Runbook) (first *engine.Step, known bool) {
	all := append(append([]*engine.Step{}, rb.Steps...), rb.OnFailure...)
	for _, st := range all {
		if st.Kind.Class == actions.Changes {
			return st, true
		}
	}
	return nil, len(all) == len(p.Steps)+len(p.OnFailure)
}

func (c *compiler) steps(p *config.Policy, phase string, in []config.Step, known outputs) []*engine.Step {
	var out []*engine.Step
	for i := range in {
		st := c.step(p, phase, i, &in[i], known)
		if st == nil {
			known.broken[in[i].ID] = true
			continue
		}
		out = append(out, st)
		if st.ID != "" {
			known.of[st.ID] = st.Kind.Outputs
		}
	}
	return out
}

func (c *compiler) step(p *config.Policy, phase string, i int, in *config.Step, known outputs) *engine.Step {
	_, uses := strictyaml.Pair(in.Node, "uses")
	kind, ok := c.registry.Lookup(in.Uses)
	if !ok {
		c.unknownKind(in, uses)
		return nil
	}
	st := &engine.Step{
		Index: i, Phase: phase, ID: in.ID, Kind: kind, ExpectFailure: in.Expect == config.ExpectFailure,
		ContinueOnError: in.ContinueOnError, OnRefused: in.OnRefused, Approval: in.Approval.Settings(),
	}
	if in.Within != nil {
		st.Within = in.Within.Std()
	}
	if in.Timeout != nil {
		st.Timeout = in.Timeout.Std()
	}
	c.fits(p, phase, in, uses, kind)
	run, err := kind.Decode(in.With)
	if err != nil {
		place := in.With
		if place == nil {
			place = uses
		}
		c.found = append(c.found, strictyaml.From(err, place)...)
		return nil
	}
	st.Run = run
	c.templates(in, run.Needs(), known)
	st.If = c.condition(in, known)
	return st
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (c *compiler) unknownKind(in *config.Step, node *yaml.Node) {
	if actions.NotYet(in.Uses) {
		c.bad(node, "remove the step", "`%s` is not supported yet", in.Uses)
		return
	}
	c.bad(node, c.registry.Suggest(in.Uses), "unknown action or check %q", in.Uses)
}

// fits checks that a kind may stand where it stands, with the keys it has.
func (c *compiler) fits(p *config.Policy, phase string, in *config.Step, uses *yaml.Node, kind actions.Kind) {
	reads := kind.Class == actions.Reads
	switch phase {
	case engine.PhaseConfirm, engine.PhaseVerify:
		if !reads {
			c.bad(uses, "use a check there, and put what changes or tells under steps", "%s of policy %q holds %s, which is no check", phase, p.Name, kind.Name)
		}
	}
	if k, _ := strictyaml.Pair(in.Node, "approval"); k != nil && kind.Class != actions.Changes {
		c.bad(k, "remove it, or put it on the step that changes something", "`approval` belongs to what changes something; %s changes nothing", kind.Name)
	}
	if reads {
		return
	}
	for _, key := range []string{"expect", "within"} {
		if k, _ := strictyaml.Pair(in.Node, key); k != nil {
			c.bad(k, "remove it, or put a check after the step", "`%s` belongs to checks; %s is none", key, kind.Name)
		}
	}
}
