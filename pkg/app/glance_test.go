package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/services"
)

type worldOf services.World

func (w worldOf) World() services.World                           { return services.World(w) }
func (w worldOf) Refresh(context.Context) (services.World, error) { return services.World(w), nil }

func TestUnseen_AreEnginesOfWhichNothingIsKnown(t *testing.T) {
	require.Empty(t, unseen(&engine.Snapshot{}))
	one := func(target string, declared bool, state services.State) services.Service {
		return services.Service{Target: target, Declared: declared, State: state, Text: "docker away cannot be looked at: about " + target}
	}
	world := services.NewWorld(time.Now(),
		one("docker:away/api", true, services.Unknown), one("docker:away/db", true, services.Unknown), one("docker:away/found", false, services.Healthy),
		one("docker:half/api", true, services.Unknown), one("docker:half/db", true, services.Healthy),
		one("docker:other/found", false, services.Unknown),
	)
	require.Equal(t, []handlers.DockerLine{{Name: "away", Text: "about docker:away/db"}}, unseen(&engine.Snapshot{World: worldOf(world)}))
}

func TestHolds_AsLongAsGuardsDo(t *testing.T) {
	end := time.Date(2026, 11, 23, 14, 18, 52, 0, time.UTC)
	for name, c := range map[string]struct {
		end, now time.Time
		ended    time.Time
	}{
		"no trouble is known": {time.Time{}, end, time.Time{}},
		"just ended":          {end, end, end},
		"a moment before":     {end, end.Add(15*time.Second - 1), end},
		"over":                {end, end.Add(15 * time.Second), time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			ended, until := holds(c.end, 15*time.Second, c.now)
			require.Equal(t, c.ended, ended)
			require.Equal(t, !c.ended.IsZero(), until.Equal(end.Add(15*time.Second)))
		})
	}
}

func TestHooks_WarnOnceOfARowOfFailures(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	hooks := (&App{log: zap.New(core)}).hooks()
	bad := errors.New("answered 500")
	for _, err := range []error{nil, bad, bad, bad, nil, nil, bad} {
		hooks.Polled("stellar", err, time.Millisecond)
	}
	hooks.Polled("anchor", nil, time.Millisecond)
	var told []string
	for _, e := range logs.All() {
		told = append(told, e.Level.String()+" "+e.Message)
	}
	const warning, info = "warn no good answer of the status page; further ones are not logged until it answers", "info the status page answers again"
	require.Equal(t, []string{warning, info, warning}, told)
}
