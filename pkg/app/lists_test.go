package app

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

func TestPlanText_IsOneLine(t *testing.T) {
	for name, c := range map[string]struct{ plan, want string }{
		"a whole plan": {`{"steps":[{"step":0,"uses":"a.b","text":"do a"},{"step":2,"uses":"c","text":"do c"}],"hash":"x"}`, "0. a.b: do a; 2. c: do c"},
		"its steps":    {`[{"step":1,"uses":"a","text":"do a"}]`, "1. a: do a"},
		"of one step":  {`{"uses":"a","text":"do a"}`, "do a"},
		"none":         {``, ""},
		"another":      {`"?"`, ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, planText(json.RawMessage(c.plan))) })
	}
}

func TestBreaker_States(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	limit := policy.Breaker{Failures: 3, OpenFor: time.Hour}
	last := now.Add(-59 * time.Minute)
	for name, c := range map[string]struct {
		limit  policy.Breaker
		streak ledger.Streak
		want   handlers.Breaker
	}{
		"closed":         {limit, ledger.Streak{Failures: 2, Last: last}, handlers.Breaker{State: "closed", Failures: 2, Last: last}},
		"open":           {limit, ledger.Streak{Failures: 3, Last: last}, handlers.Breaker{State: "open", Failures: 3, Last: last, Until: now.Add(time.Minute)}},
		"a trial is due": {limit, ledger.Streak{Failures: 4, Last: now.Add(-time.Hour)}, handlers.Breaker{State: "trial", Failures: 4, Last: now.Add(-time.Hour)}},
		"there is none":  {policy.Breaker{}, ledger.Streak{Failures: 9, Last: last}, handlers.Breaker{State: "none", Failures: 9, Last: last}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, breaker(c.limit, c.streak, now)) })
	}
}

func TestShownUpstreams_NothingKnownIsUnknown(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	events := []upstream.Event{{ID: "i-1", Kind: "incident", Name: "slow"}}
	got := shownUpstreams([]upstream.Status{
		{Name: "stellar", Change: upstream.Change{State: upstream.Incident, Impact: "major", Since: at, Text: "it is down", Events: events}, LastGood: at, NextPoll: at.Add(time.Minute)},
		{Name: "new", LastError: "timeout"},
	})
	require.Equal(t, []handlers.Upstream{
		{UpstreamLine: handlers.UpstreamLine{Name: "stellar", State: "incident", Impact: "major", Since: at, Text: "it is down"}, Events: events, LastGood: at, NextPoll: at.Add(time.Minute)},
		{UpstreamLine: handlers.UpstreamLine{Name: "new", State: "unknown", Text: "its page has not answered yet"}, LastError: "timeout"},
	}, got)
}

func TestPresent_UnconsentedIsNotExecuted(t *testing.T) {
	step := 1
	for name, c := range map[string]struct {
		approval *ledger.Approval
		want     string
	}{
		"nobody is asked":              {nil, "execute"},
		"open":                         {&ledger.Approval{Hash: "h"}, "await_approval"},
		"rejected":                     {&ledger.Approval{Hash: "h", Decided: ledger.Rejected}, "await_approval"},
		"granted":                      {&ledger.Approval{Hash: "h", Decided: ledger.Granted}, "execute"},
		"one step, in the midst of it": {&ledger.Approval{Hash: "h", Step: &step}, "execute"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, present(ledger.Remediation{ID: "r-1", Approval: c.approval}, nil).Verdict)
		})
	}
}

// The API's answer to a run is the engine's, member for member.
func TestRunAnswer_IsTheEngines(t *testing.T) {
	reason := audit.Reason{Code: "c", Text: "t"}
	guards := []audit.Guard{{Name: "g"}}
	theirs, err := json.Marshal(engine.RunAnswer{Episode: "e", Remediation: "r", Policy: "p", Mode: "m", Verdict: "v", Reason: reason, Guards: guards})
	require.NoError(t, err)
	ours, err := json.Marshal(handlers.RunAnswer{Episode: "e", Remediation: "r", Policy: "p", Mode: "m", Verdict: "v", Reason: reason, Guards: guards})
	require.NoError(t, err)
	require.JSONEq(t, string(theirs), string(ours))
}
