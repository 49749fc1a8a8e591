package docker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a lab with an engine configuration behind a proxy.
type bench struct {
	*lab.Lab
	proxy   *dockerproxy.Proxy
	engines *docker.Engines
}

func newBench(t *testing.T, services ...lab.ServiceSpec) (context.Context, *bench) {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	b := &bench{Lab: lab.New(t)}
	names := []string{"missing"}
	for _, s := range services {
		require.NoError(t, b.Service(ctx, s))
		names = append(names, s.Name)
	}
	var err error
	b.proxy, err = dockerproxy.Start(ctx, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.proxy.Close()) })
	b.engines, err = docker.New([]docker.Config{{Name: "local", Host: b.proxy.Host(), Project: b.Project, Services: names}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.engines.Close()) })
	return ctx, b
}

func (b *bench) decode(t *testing.T, uses, with string) actions.Step {
	t.Helper()
	step, err := b.tryDecode(t, uses, with)
	require.NoError(t, err)
	return step
}

func (b *bench) tryDecode(t *testing.T, uses, with string) (actions.Step, error) {
	t.Helper()
	r, err := actions.NewRegistry(b.engines.Kinds())
	require.NoError(t, err)
	kind, ok := r.Lookup(uses)
	require.True(t, ok)
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(with), &n))
	return kind.Decode(n.Content[0])
}

func (b *bench) plan(ctx context.Context, t *testing.T, uses, with string) (actions.Action, actions.Plan) {
	t.Helper()
	action := b.decode(t, uses, with).(actions.Action)
	p, err := action.Plan(ctx, scope())
	require.NoError(t, err)
	return action, p
}

func (b *bench) check(ctx context.Context, t *testing.T, uses, with string) actions.Result {
	t.Helper()
	return b.decode(t, uses, with).(actions.Check).Check(ctx, scope())
}

func scope() actions.Scope { return actions.Scope{Now: time.Now()} }
