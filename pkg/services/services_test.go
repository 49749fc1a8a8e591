package services_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/services"
)

func service(target string, deps ...services.Dependency) services.Service {
	return services.Service{Target: target, State: services.Healthy, DependsOn: deps}
}

func needs(target string) services.Dependency {
	return services.Dependency{Target: target, Condition: services.ConditionHealthy}
}

func TestWorld_NeedsFollowsEachEdgeOnce(t *testing.T) {
	completed := services.Dependency{Target: "pg", Condition: services.ConditionCompleted}
	w := services.NewWorld(time.Time{},
		service("nginx", needs("api"), needs("client")), service("api", needs("pg"), needs("redis"), needs("pg")),
		service("client", needs("api"), completed), service("pg"), service("redis"))
	for target, want := range map[string][]services.Need{
		"pg":     nil,
		"nobody": nil,
		"api":    {{By: "api", Dependency: needs("pg")}, {By: "api", Dependency: needs("redis")}},
		"nginx": {
			{By: "nginx", Dependency: needs("api")},
			{By: "nginx", Dependency: needs("client")},
			{By: "api", Dependency: needs("pg")},
			{By: "api", Dependency: needs("redis")},
			{By: "client", Dependency: needs("api")},
			{By: "client", Dependency: completed},
		},
	} {
		require.Equal(t, want, w.Needs(target), target)
	}
}

func TestWorld_NeedsEndsInACircle(t *testing.T) {
	w := services.NewWorld(time.Time{}, service("a", needs("b"), needs("a")), service("b", needs("c")), service("c", needs("a"), needs("b"), needs("gone")))
	require.Equal(t, []services.Need{
		{By: "a", Dependency: needs("b")},
		{By: "b", Dependency: needs("c")},
		{By: "c", Dependency: needs("b")},
		{By: "c", Dependency: needs("gone")},
	}, w.Needs("a"))
}

func TestWorld_AllIsSortedAndUnknownIsSaid(t *testing.T) {
	w := services.NewWorld(time.Unix(7, 0), service("b"), service("a"), service("c"))
	var names []string
	for _, s := range w.All() {
		names = append(names, s.Target)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Empty(t, services.World{}.All())
	require.Equal(t, services.Unknown, services.World{}.Get("a").State)
	require.Equal(t, time.Unix(7, 0), w.At())
}

func TestService_Well(t *testing.T) {
	conditions := []string{"", services.ConditionStarted, services.ConditionHealthy, services.ConditionCompleted}
	for state, well := range map[services.State]bool{
		services.Healthy: true, services.Running: true, services.Starting: false, services.Unhealthy: false,
		services.Stopped: false, services.Missing: false, services.Unknown: false,
	} {
		for _, c := range conditions {
			require.Equal(t, well, services.Service{State: state}.Well(c), "%s %s", state, c)
		}
	}
	for _, c := range conditions {
		require.Equal(t, c != services.ConditionHealthy, services.Service{State: services.Completed}.Well(c), c)
	}
}

func TestService_Seen(t *testing.T) {
	require.Equal(t, services.Stopped, services.Service{State: services.Stopped}.Seen())
	require.Equal(t, services.Stopped, services.Service{State: services.Unknown, Last: services.Stopped}.Seen())
	require.Empty(t, services.Service{State: services.Unknown}.Seen())
}
