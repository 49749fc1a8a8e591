package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
)

// engines are made-up containers.
type engines struct {
	services []string
	describe func(ctx context.Context, service string) ([]string, error)
	tail     func(service string, since time.Time, lines int) (map[string]string, error)
}

func (e engines) Services() []string           { return e.services }
func (e engines) Declared(service string) bool { return slices.Contains(e.services, service) }
func (e engines) Describe(ctx context.Context, service string) ([]string, error) {
	return e.describe(ctx, service)
}

func (e engines) Tail(_ context.Context, service string, since time.Time, lines int) (map[string]string, error) {
	return e.tail(service, since, lines)
}

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func two() engines {
	return engines{
		services: []string{"api", "indexer"},
		describe: func(_ context.Context, s string) ([]string, error) {
			if s == "indexer" {
				return []string{"p-indexer-1 exited, exit code 137"}, nil
			}
			return []string{"p-api-1 running, healthy"}, nil
		},
		tail: func(s string, _ time.Time, _ int) (map[string]string, error) {
			return map[string]string{"p-" + s + "-1": "last words of " + s + "\n"}, nil
		},
	}
}

func firing(n int) func(context.Context) ([]alert.Alert, error) {
	return func(context.Context) ([]alert.Alert, error) {
		var out []alert.Alert
		for i := range n {
			out = append(out, alert.Alert{Labels: template.KV{"job": fmt.Sprint(i), "alertname": "Down"}})
		}
		return out, nil
	}
}

func decode(with string, e Engines, f func(context.Context) ([]alert.Alert, error), probes ...Probes) (actions.Step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(with), &doc); err != nil {
		return nil, err
	}
	return Kinds(e, f, probes...)[0].Decode(doc.Content[0])
}

func gather(t *testing.T, with string, e Engines, f func(context.Context) ([]alert.Alert, error), probes ...Probes) actions.Result {
	t.Helper()
	step, err := decode(with, e, f, probes...)
	require.NoError(t, err)
	return step.(actions.Gatherer).Gather(t.Context(), actions.Scope{Now: now})
}

func TestDiagnose_GathersWhatAFirstResponderAsksFor(t *testing.T) {
	e := two()
	plain := e.tail
	e.tail = func(s string, since time.Time, lines int) (map[string]string, error) {
		require.Equal(t, now.Add(-30*time.Minute), since)
		require.Equal(t, 100, lines)
		return plain(s, since, lines)
	}
	probe := Probes{"indexer": func(context.Context) actions.Result { return actions.Result{Text: "GET answered 503"} }}
	res := gather(t, "{}", e, firing(1), probe)
	require.True(t, res.OK)
	require.Equal(t, map[string]any{"api": []string{"p-api-1 running, healthy"}, "indexer": []string{"p-indexer-1 exited, exit code 137"}}, res.Outputs["states"])
	require.Equal(t, map[string]any{"p-api-1": "last words of api\n", "p-indexer-1": "last words of indexer\n"}, res.Outputs["logs"])
	require.Equal(t, map[string]any{"indexer": "GET answered 503"}, res.Outputs["http"])
	require.Equal(t, []string{"alertname=Down job=0"}, res.Outputs["alerts"])
	require.Empty(t, res.Outputs["missing"])
	require.Equal(t, "2 services, 1 alerts fire; not well: p-indexer-1 exited, exit code 137; GET answered 503", res.Text)
}

func TestDiagnose_NamesWhatCouldNotBeHad(t *testing.T) {
	e := two()
	e.describe = func(_ context.Context, s string) ([]string, error) {
		if s == "api" {
			return nil, errors.New("no engine")
		}
		return []string{"p-indexer-1 running"}, nil
	}
	e.tail = func(string, time.Time, int) (map[string]string, error) { return nil, errors.New("log driver") }
	res := gather(t, "{}", e, func(context.Context) ([]alert.Alert, error) { return nil, errors.New("no alertmanager") })
	require.True(t, res.OK, "evidence never fails a run")
	require.Equal(t, []string{"firing alerts: no alertmanager", "logs of indexer: log driver", "state of api: no engine"}, res.Outputs["missing"])
	require.Contains(t, res.Text, "could not be had: firing alerts: no alertmanager;")
}

func TestDiagnose_IsBounded(t *testing.T) {
	e := two()
	e.tail = func(s string, _ time.Time, _ int) (map[string]string, error) {
		out := map[string]string{}
		for i := range 20 {
			out[fmt.Sprintf("p-%s-%02d", s, i)] = strings.Repeat("word ", 10_000)
		}
		return out, nil
	}
	res := gather(t, "{}", e, firing(maxAlerts+50))
	require.Len(t, res.Outputs["alerts"], maxAlerts)
	require.Contains(t, res.Text, "150 alerts fire")
	total := 0
	for name, text := range res.Outputs["logs"].(map[string]any) {
		require.LessOrEqual(t, len(text.(string)), maxTail+100, name)
		total += len(text.(string))
	}
	require.LessOrEqual(t, total, maxTails)
	require.Greater(t, total, maxTails/2)
	require.Contains(t, res.Text, "the evidence is large enough")
}

func TestDiagnose_WaitsForNobodyLongerThanItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := two()
		plain := e.describe
		e.describe = func(ctx context.Context, s string) ([]string, error) {
			if s == "api" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return plain(ctx, s)
		}
		begin := time.Now()
		res := gather(t, "{tail: 0}", e, firing(0))
		require.Equal(t, budget, time.Since(begin))
		require.Contains(t, res.Outputs["states"], "indexer", "what could be had is there")
		require.Equal(t, []string{"state of api: context deadline exceeded"}, res.Outputs["missing"])
		require.Empty(t, res.Outputs["logs"], "tail: 0")
	})
}

func TestDiagnose_OnlyTheServicesAskedFor(t *testing.T) {
	res := gather(t, "{services: [api]}", two(), firing(0))
	require.Len(t, res.Outputs["states"], 1)
	require.Contains(t, res.Outputs["states"], "api")
}

func TestDiagnose_Mistakes(t *testing.T) {
	for with, want := range map[string]string{
		"{services: [api, indxer]}": `did you mean "indexer"?`,
		"{tail: 1001}":              "0 to 1000",
		"{since: 30}":               "unit",
		"{sincee: 30m}":             `did you mean "since"?`,
	} {
		_, err := decode(with, two(), firing(0))
		require.ErrorContains(t, err, want, with)
		require.Regexp(t, `^1:\d+: `, err.Error(), with)
	}
}
