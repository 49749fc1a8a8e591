package docker_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/actions/docker"
	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/dockerproxy"
)

// world is a real engine behind a proxy.
type world struct {
	*testing.T
	ctx     context.Context
	lab     *lab.Lab
	proxy   *dockerproxy.Proxy
	engines *docker.Engines
	hands   actions.Hands
	scope   actions.Scope
}

// stand stands up services and declares them, and "gone", which has no container.
func stand(t *testing.T, o lab.Options, specs ...lab.ServiceSpec) *world {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, lab: lab.New(t, o)}
	declared := []string{"gone"}
	for _, spec := range specs {
		require.NoError(t, w.lab.Service(ctx, spec))
		if !spec.OneOff {
			declared = append(declared, spec.Name)
		}
	}
	var err error
	w.proxy, err = dockerproxy.Start(ctx, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.proxy.Close()) })
	w.engines, err = docker.New([]docker.Config{{Name: "local", Host: w.proxy.Host(), Project: w.lab.Project, Services: declared}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.engines.Close()) })
	w.hands = actions.NewHands(w.engines.Hands())
	w.scope = actions.Scope{Now: time.Now(), Alert: alert.Alert{Status: alert.Firing, Labels: template.KV{"service": "api"}}}
	return w
}

func (w *world) step(name, with string) actions.Step {
	w.Helper()
	step, err := decodeAt(w.engines, name, with)
	require.NoError(w, err)
	return step
}

func decodeAt(engines *docker.Engines, name, with string) (actions.Step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(with), &doc); err != nil {
		return nil, err
	}
	for _, k := range engines.Kinds() {
		if k.Name == name {
			return k.Decode(doc.Content[0])
		}
	}
	return nil, http.ErrNotSupported
}

func (w *world) plan(a actions.Step) actions.Plan {
	w.Helper()
	p, err := a.(actions.Action).Plan(w.ctx, w.scope)
	require.NoError(w, err)
	return p
}

func (w *world) apply(a actions.Step, p actions.Plan) (actions.Result, error) {
	return a.(actions.Action).Apply(w.ctx, w.scope, p, w.hands)
}

func (w *world) restarts(service string) int {
	w.Helper()
	n, err := w.lab.Restarts(w.ctx, service)
	require.NoError(w, err)
	return n
}

func (w *world) ids(service string) []string {
	w.Helper()
	ids, err := w.lab.ContainerIDs(w.ctx, service)
	require.NoError(w, err)
	return ids
}

func (w *world) state(service string) string {
	w.Helper()
	c, err := w.lab.Docker.ContainerInspect(w.ctx, w.ids(service)[0])
	require.NoError(w, err)
	return c.State.Status
}

func TestApply_RestartsAllContainersOfTheServiceAndNoOther(t *testing.T) {
	for name, v1 := range map[string]bool{"Compose v1": true, "Compose v2": false} {
		t.Run(name, func(t *testing.T) {
			w := stand(t, lab.Options{ComposeV1: v1}, lab.ServiceSpec{Name: "api", Replicas: 2}, lab.ServiceSpec{Name: "api2"})
			before := w.ids("api")
			oneOff := lab.ServiceSpec{Name: "api", OneOff: true, NoHealthcheck: true, NoPublish: true, NoWait: true}
			require.NoError(t, w.lab.Service(w.ctx, oneOff))

			a := w.step("docker.restart", "{service: '{{ .Labels.service }}', timeout: 1s}")
			p := w.plan(a)
			require.Equal(t, []string{"docker:local/api"}, p.Targets)
			var planned []string
			for _, o := range p.Objects {
				require.Equal(t, "container", o.Kind)
				planned = append(planned, o.ID)
			}
			require.Equal(t, before, planned, "by container number, without the one-off")
			res, err := w.apply(a, p)
			require.NoError(t, err)
			require.True(t, res.OK)
			require.Len(t, res.Outputs["containers"], 2)
			require.Equal(t, 2, w.restarts("api"))
			require.Zero(t, w.restarts("api2"))
		})
	}
}

func TestApply_PausedContainersAreLeftAlone(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api"})
	restart := w.step("docker.restart", "{service: api, when_stopped: start}")
	planned := w.plan(restart)
	id := w.ids("api")[0]
	require.NoError(t, w.lab.Docker.ContainerPause(w.ctx, id))
	_, err := w.apply(restart, planned)
	require.Equal(t, actions.CodeStopped, actions.CodeOf(err), "paused since it was planned: %v", err)
	for _, a := range []actions.Step{
		restart, w.step("docker.restart", "{service: api}"), w.step("docker.stop", "{service: api}"), w.step("docker.start", "{service: api}"),
	} {
		_, err = a.(actions.Action).Plan(w.ctx, w.scope)
		require.ErrorContains(t, err, "paused")
		require.Equal(t, actions.CodeStopped, actions.CodeOf(err))
	}
	require.NoError(t, w.lab.Docker.ContainerUnpause(w.ctx, id))
}

// What is stopped may be planned for: the guards know who stopped it. What stops or
// starts after they were asked is seen right before it would be touched.
func TestApply_LooksAgainAtWhatWasStopped(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api", Replicas: 2})
	ids := w.ids("api")
	stop := func(id string) { require.NoError(t, w.lab.Docker.ContainerStop(w.ctx, id, container.StopOptions{})) }
	start := func(id string) {
		require.NoError(t, w.lab.Docker.ContainerStart(w.ctx, id, container.StartOptions{}))
	}
	ask := w.step("docker.restart", "{service: api, timeout: 1s}")
	anyway := w.step("docker.restart", "{service: api, timeout: 1s, when_stopped: start}")
	only := w.step("docker.start", "{service: api}")

	ran := w.plan(ask)
	stop(ids[0])
	_, err := w.apply(ask, ran)
	require.Equal(t, actions.CodeStopped, actions.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "ran when this was planned and is stopped now")
	require.Equal(t, "exited", w.state("api"), "somebody stopped it after the guards were asked")

	stopped, toStart := w.plan(ask), w.plan(only)
	require.Len(t, stopped.Objects, 2)
	require.Len(t, toStart.Objects, 1)
	start(ids[0])
	stop(ids[0])
	for _, again := range []struct {
		step actions.Step
		plan actions.Plan
	}{{ask, stopped}, {only, toStart}} {
		_, err = w.apply(again.step, again.plan)
		require.Equal(t, actions.CodeStopped, actions.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "started and stopped again")
	}

	begin := w.restarts("api")
	res, err := w.apply(anyway, ran)
	require.NoError(t, err, "the step says what to do with a stopped container")
	require.Equal(t, "running", w.state("api"))
	require.Len(t, res.Outputs["containers"], 2)
	require.Equal(t, begin+2, w.restarts("api"))

	res, err = w.apply(ask, stopped)
	require.NoError(t, err)
	require.Equal(t, begin+3, w.restarts("api"), "the one that runs again was left alone")
	require.Len(t, res.Outputs["containers"], 1)
	require.Contains(t, res.Text, "left alone: "+stopped.Objects[0].Name+" runs again already")
	res, err = w.apply(only, toStart)
	require.NoError(t, err)
	require.Equal(t, "left alone: "+toStart.Objects[0].Name+" runs again already", res.Text)

	stop(ids[0])
	_, err = w.apply(ask, w.plan(ask))
	require.NoError(t, err, "stopped before the guards were asked: theirs is the word")
	require.Equal(t, "running", w.state("api"))
}

func TestChange_SaysWhetherItStartsWhatIsStopped(t *testing.T) {
	engines, err := docker.New([]docker.Config{{Name: "local", Host: "unix:///nowhere.sock", Project: "p", Services: []string{"api"}}})
	require.NoError(t, err)
	defer engines.Close()
	for with, want := range map[string]bool{
		"docker.restart {service: api}":                      false,
		"docker.restart {service: api, when_stopped: ask}":   false,
		"docker.restart {service: api, when_stopped: start}": true,
		"docker.start {service: api}":                        false,
		"docker.start {service: api, when_stopped: start}":   true,
		"docker.stop {service: api}":                         false,
	} {
		name, text, _ := strings.Cut(with, " ")
		step, err := decodeAt(engines, name, text)
		require.NoError(t, err, with)
		require.Equal(t, want, step.(actions.Starter).StartsStopped(), with)
	}
}

func TestApply_PlansNothingWhereNothingNeedsDoing(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api"})
	start, stop := w.step("docker.start", "{service: api}"), w.step("docker.stop", "{service: api, timeout: 1s}")
	p := w.plan(start)
	require.Empty(t, p.Objects)
	require.Contains(t, p.Text, "running already")
	_, err := w.apply(stop, w.plan(stop))
	require.NoError(t, err)
	require.Equal(t, "exited", w.state("api"))
	p = w.plan(stop)
	require.Empty(t, p.Objects)
	require.Contains(t, p.Text, "stopped already")
	_, err = w.apply(start, w.plan(start))
	require.NoError(t, err)
	require.Equal(t, "running", w.state("api"))
}

func TestApply_TouchesOnlyWhatWasPlanned(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api", Replicas: 2})
	a := w.step("docker.restart", "{service: api, timeout: 1s}")
	p := w.plan(a)
	require.NoError(t, w.lab.Recreate(w.ctx, "api"))
	res, err := w.apply(a, p)
	require.Equal(t, actions.CodeTargetNotFound, actions.CodeOf(err), "%v", err)
	require.False(t, res.OK)
	for _, id := range w.ids("api") {
		require.NotContains(t, []string{p.Objects[0].ID, p.Objects[1].ID}, id)
	}
	require.Zero(t, w.restarts("api"), "the new containers were not in the plan")

	p = w.plan(a)
	w.proxy.AddRule(dockerproxy.Rule{Method: "POST", Path: p.Objects[1].ID + "/restart$", Status: 404, Message: "No such container"})
	_, err = w.apply(a, p)
	require.Equal(t, actions.CodeOutcomeUnknown, actions.CodeOf(err), "one was touched")
	require.ErrorContains(t, err, "done before: "+p.Objects[0].Name)

	_, err = w.step("docker.restart", "{service: gone}").(actions.Action).Plan(w.ctx, w.scope)
	require.Equal(t, actions.CodeTargetNotFound, actions.CodeOf(err))
}

func TestApply_SaysWhatIsKnownOfTheEffect(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api"})
	a := w.step("docker.restart", "{service: api, timeout: 1s}")
	p := w.plan(a)
	for _, c := range []struct {
		name string
		rule dockerproxy.Rule
		want actions.Code
	}{
		{"the engine refuses", dockerproxy.Rule{Status: 500, Message: "no space left on device"}, actions.CodeFailed},
		{"the answer is lost", dockerproxy.Rule{Cut: true}, actions.CodeOutcomeUnknown},
		{"a proxy gives up", dockerproxy.Rule{Status: 504, Message: "gateway time-out"}, actions.CodeOutcomeUnknown},
		{"a proxy has no engine", dockerproxy.Rule{Status: 503, Message: "no server"}, actions.CodeOutcomeUnknown},
	} {
		c.rule.Method, c.rule.Path, c.rule.Times = http.MethodPost, "/restart$", 1
		w.proxy.AddRule(c.rule)
		res, err := w.apply(a, p)
		require.Equal(t, c.want, actions.CodeOf(err), "%s: %v", c.name, err)
		require.False(t, res.OK)
	}
	require.Equal(t, 1, w.restarts("api"), "the one whose answer was lost")
}

func TestApply_IsNotCutOffInTheMiddle(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api", IgnoreTerm: true})
	a := w.step("docker.restart", "{service: api, timeout: 1s}").(actions.Action)
	p := w.plan(a)
	ctx, cancel := context.WithCancel(w.ctx)
	w.proxy.AddRule(dockerproxy.Rule{Method: http.MethodPost, Path: "/restart$", Before: cancel})
	res, err := a.Apply(ctx, w.scope, p, w.hands)
	require.NoError(t, err)
	require.True(t, res.OK)
	require.Equal(t, "running", w.state("api"))
	require.Equal(t, 1, w.restarts("api"))
}

func TestApply_TargetsAreDeclaredOnes(t *testing.T) {
	w := stand(t, lab.Options{}, lab.ServiceSpec{Name: "api"})
	a := w.step("docker.restart", "{service: '{{ .Labels.service }}'}").(actions.Action)
	for _, label := range []string{"postgres", "", "API", "api\n", "ap"} {
		w.scope.Alert.Labels["service"] = label
		_, err := a.Plan(w.ctx, w.scope)
		require.Equal(t, actions.CodeNotDeclared, actions.CodeOf(err), "%q: %v", label, err)
		_, err = a.Targets(w.scope)
		require.Equal(t, actions.CodeNotDeclared, actions.CodeOf(err), "%q", label)
	}
	later := w.step("docker.restart", "{service: '{{ .Steps.pick.service }}'}")
	require.Equal(t, []string{"pick"}, later.Needs())
	targets, err := later.Targets(w.scope)
	require.NoError(t, err)
	require.Equal(t, actions.Targets{Names: []string{"docker:local/api", "docker:local/gone"}}, targets, "any of them, as long as it is not known")
	w.scope.Steps = map[string]actions.Result{"pick": {OK: true, Outputs: map[string]any{"service": "api"}}}
	targets, err = later.Targets(w.scope)
	require.NoError(t, err)
	require.Equal(t, actions.Targets{Names: []string{"docker:local/api"}, Exact: true}, targets)
}

func TestKinds_MistakesAtLoad(t *testing.T) {
	engines, err := docker.New([]docker.Config{{Name: "local", Host: "unix:///nowhere.sock", Project: "p", Services: []string{"api", "indexer"}}})
	require.NoError(t, err)
	defer engines.Close()
	for with, want := range map[string]string{
		"docker.restart {service: indxer}":                    `did you mean "indexer"?`,
		"docker.restart {}":                                   "service is missing",
		"docker.restart {service: api, timout: 1s}":           `did you mean "timeout"?`,
		"docker.restart {service: api, timeout: 500ms}":       "1s to 4m",
		"docker.restart {service: api, timeout: 1500ms}":      "whole seconds",
		"docker.restart {service: api, when_stopped: always}": "ask or start",
		"docker.restart {hottest: {by: cpu}}":                 "not supported yet",
		"docker.restart {service: api, docker: remote}":       "remote",
		"docker.restart {service: '{{ .Lables.service }}'}":   "Labels",
		"docker.start {service: api, timeout: 1s}":            "timeout",
		"docker.start {service: api, when_stopped: never}":    "ask or start",
		"docker.stop {service: api, when_stopped: start}":     "when_stopped",
		"docker.state {service: api, is: stopped}":            "exited",
		"docker.logs {service: api}":                          "match is missing",
		"docker.logs {service: api, match: '('}":              "regular expression",
		"docker.logs {service: api, match: x, tail: 0}":       "tail",
		"docker.healthy {service: api, stable_for: 10}":       "unit",
	} {
		name, text, _ := strings.Cut(with, " ")
		_, err := decodeAt(engines, name, text)
		require.ErrorContains(t, err, want, with)
		require.Regexp(t, `^1:\d+: `, err.Error(), "%s: a place", with)
	}
}
