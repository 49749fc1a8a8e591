// Package actionstest is the conformance suite that every kind of check and action
// passes (design §6): it reads before it touches, touches nothing without hands,
// ends when its context does, says unknown rather than yes when nobody answers, and
// shows no secret.
package actionstest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// Case is one kind, in a state of the world in which it gives an answer or has
// something to do.
type Case struct {
	Kind  actions.Kind
	With  string // YAML of `with`
	Scope actions.Scope
	// Hands with which Apply can work. Actions only.
	Hands actions.Hands
	// Effects counts the requests so far that could have changed something.
	Effects func() int
	// Away takes what the kind talks to away, Hang makes it accept requests and
	// answer none; the returned function brings it back. Nil where a kind talks to
	// nobody.
	Away func() (back func())
	Hang func() (back func())
	// Secrets that the step was given and must not show.
	Secrets []string
}

// patience is how long after the end of its context a step may still run.
const patience = 5 * time.Second

// Run runs the suite. The kind's page in docs is checked by Documented.
func Run(t *testing.T, c Case) {
	t.Helper()
	t.Run("is described completely", c.described)
	t.Run("refuses what it does not know", c.strict)
	step := c.step(t)
	t.Run("looks without touching", func(t *testing.T) { c.looks(t, step) })
	if c.Kind.Class == actions.Changes {
		t.Run("touches nothing without hands", func(t *testing.T) { c.handless(t, step) })
	}
	t.Run("ends with its context", func(t *testing.T) { c.cancelled(t, step) })
	if c.Away != nil {
		t.Run("does not guess when nobody is there", func(t *testing.T) { c.away(t, step) })
	}
	if c.Hang != nil {
		t.Run("gives up in time", func(t *testing.T) { c.hangs(t, step) })
	}
}

func node(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func (c Case) step(t *testing.T) actions.Step {
	t.Helper()
	step, err := c.Kind.Decode(node(t, c.With))
	require.NoError(t, err)
	return step
}

func (c Case) described(t *testing.T) {
	require.Regexp(t, `^[a-z]+(\.[a-z_]+)?$`, c.Kind.Name)
	require.Positive(t, c.Kind.Timeout)
	require.NotNil(t, c.Kind.Outputs)
	for _, taken := range []string{"ok", "unknown", "text"} {
		require.NotContains(t, c.Kind.Outputs, taken, "every result has it already")
	}
	step := c.step(t)
	var fits bool
	switch c.Kind.Class {
	case actions.Reads:
		_, fits = step.(actions.Check)
	case actions.Changes:
		_, fits = step.(actions.Action)
	case actions.Tells:
		_, fits = step.(actions.Teller)
	case actions.Evidence:
		_, fits = step.(actions.Gatherer)
	}
	require.True(t, fits, "%T is no %s", step, c.Kind.Class)
	require.False(t, c.Kind.Recheckable && c.Kind.Class != actions.Changes, "only what changes can lose its result")
}

func (c Case) strict(t *testing.T) {
	for _, bad := range []string{"{" + nonsense + ": 1}", "[1]", "text"} {
		_, err := c.Kind.Decode(node(t, bad))
		require.Error(t, err, bad)
		ms := strictyaml.From(err, nil)
		require.Positive(t, ms[0].Line, "%q: a mistake without a place: %s", bad, err)
	}
	require.NotPanics(t, func() { _, _ = c.Kind.Decode(nil) })
}

// looks: decoding, planning and checking change nothing, and agree with each other.
func (c Case) looks(t *testing.T, step actions.Step) {
	before := c.effects()
	targets, err := step.Targets(c.Scope)
	require.NoError(t, err)
	require.True(t, slices.IsSorted(targets.Names))
	switch s := step.(type) {
	case actions.Action:
		p, err := s.Plan(t.Context(), c.Scope)
		require.NoError(t, err)
		require.Equal(t, c.Kind.Name, p.Uses)
		require.NotEmpty(t, p.Text)
		require.NotEmpty(t, p.Objects, "the case has nothing to do, so it proves nothing")
		require.Subset(t, targets.Names, p.Targets)
		for _, o := range p.Objects {
			require.NotEmpty(t, o.Kind)
			require.NotEmpty(t, o.ID)
		}
		again, err := s.Plan(t.Context(), c.Scope)
		require.NoError(t, err)
		require.Equal(t, actions.Hash([]actions.Plan{p}), actions.Hash([]actions.Plan{again}), "the same plan has the same hash")
		c.silent(t, p)
	case actions.Check:
		c.answer(t, s.Check(t.Context(), c.Scope))
	case actions.Gatherer:
		c.answer(t, s.Gather(t.Context(), c.Scope))
	case actions.Teller:
		m, err := s.Tell(c.Scope)
		require.NoError(t, err)
		require.NotEmpty(t, m.Text)
		c.silent(t, m)
	}
	require.Equal(t, before, c.effects(), "looking changed something")
}

// answer: a known result with the outputs that its kind declares, of their types.
func (c Case) answer(t *testing.T, res actions.Result) {
	t.Helper()
	require.False(t, res.Unknown, res.Text)
	require.NotEmpty(t, res.Text)
	require.Len(t, res.Outputs, len(c.Kind.Outputs), "outputs are %v", res.Outputs)
	for name, example := range c.Kind.Outputs {
		require.Contains(t, res.Outputs, name)
		require.Equal(t, reflect.TypeOf(example), reflect.TypeOf(res.Outputs[name]), "output %s", name)
	}
	c.silent(t, res)
}

func (c Case) handless(t *testing.T, step actions.Step) {
	a := step.(actions.Action)
	p, err := a.Plan(t.Context(), c.Scope)
	require.NoError(t, err)
	before := c.effects()
	res, err := a.Apply(t.Context(), c.Scope, p, actions.Hands{})
	require.Equal(t, actions.CodeForbidden, actions.CodeOf(err), "%v", err)
	require.False(t, res.OK)
	require.Equal(t, before, c.effects())
}

// cancelled: with a context that is over nothing is said to be ok, and nothing done.
func (c Case) cancelled(t *testing.T, step actions.Step) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := c.effects()
	within(t, func() {
		switch s := step.(type) {
		case actions.Action:
			_, err := s.Plan(ctx, c.Scope)
			require.Error(t, err)
			p, err := s.Plan(t.Context(), c.Scope)
			require.NoError(t, err)
			res, err := s.Apply(ctx, c.Scope, p, c.Hands)
			require.Error(t, err)
			require.False(t, res.OK)
		case actions.Check:
			res := s.Check(ctx, c.Scope)
			require.True(t, res.Unknown, "%+v", res)
		case actions.Gatherer:
			s.Gather(ctx, c.Scope)
		}
		if w, ok := step.(actions.Waiter); ok {
			w.Await(ctx, c.Scope, true)
		}
	})
	require.Equal(t, before, c.effects(), "something was changed though nobody waits for it")
}

func (c Case) away(t *testing.T, step actions.Step) {
	var p actions.Plan
	if a, ok := step.(actions.Action); ok {
		var err error
		p, err = a.Plan(t.Context(), c.Scope)
		require.NoError(t, err)
	}
	defer c.Away()()
	switch s := step.(type) {
	case actions.Action:
		_, err := s.Plan(t.Context(), c.Scope)
		require.Equal(t, actions.CodeUnreachable, actions.CodeOf(err), "%v", err)
		c.silent(t, err)
		res, err := s.Apply(t.Context(), c.Scope, p, c.Hands)
		require.Equal(t, actions.CodeUnreachable, actions.CodeOf(err), "%v", err)
		require.False(t, res.OK)
		c.silent(t, err)
	case actions.Check:
		res := s.Check(t.Context(), c.Scope)
		require.True(t, res.Unknown, "%+v", res)
		require.False(t, res.OK)
		require.NotEmpty(t, res.Text)
		c.silent(t, res)
	case actions.Gatherer:
		c.silent(t, s.Gather(t.Context(), c.Scope))
	}
}

func (c Case) hangs(t *testing.T, step actions.Step) {
	defer c.Hang()()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	within(t, func() {
		switch s := step.(type) {
		case actions.Action:
			_, err := s.Plan(ctx, c.Scope)
			require.Error(t, err)
			c.silent(t, err)
		case actions.Check:
			res := s.Check(ctx, c.Scope)
			require.True(t, res.Unknown, "%+v", res)
			c.silent(t, res)
		case actions.Gatherer:
			c.silent(t, s.Gather(ctx, c.Scope))
		}
		if w, ok := step.(actions.Waiter); ok {
			require.False(t, w.Await(ctx, c.Scope, true).OK)
		}
	})
}

func (c Case) effects() int {
	if c.Effects == nil {
		return 0
	}
	return c.Effects()
}

// silent: no secret in what leaves the step.
func (c Case) silent(t *testing.T, v any) {
	t.Helper()
	var text string
	var err error
	if e, ok := v.(error); ok {
		for ; e != nil; e = errors.Unwrap(e) {
			text += e.Error()
		}
	} else {
		var raw []byte
		raw, err = json.Marshal(v)
		text = string(raw)
	}
	require.NoError(t, err)
	for _, secret := range c.Secrets {
		require.NotContains(t, text, secret)
	}
}

// within fails when fn is still at it well after its context has ended.
func within(t *testing.T, fn func()) {
	t.Helper()
	begin := time.Now()
	fn()
	require.Less(t, time.Since(begin), patience, "still running long after its context had ended")
}
