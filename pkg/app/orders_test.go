package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// manual is a daemon with one policy that a person starts and that asks for consent
// before it posts to a service, and how often that was posted to.
func manual(t *testing.T) (*daemon, *atomic.Int64) {
	t.Helper()
	posted := &atomic.Int64{}
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted.Add(1) }))
	t.Cleanup(service.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("the-operator-token-0123456789"), 0o600))
	d := run(t, fmt.Sprintf(`
mode: live
web: {tokens: [{role: operator, name: alice, file: %s}]}
http: [{name: hooks, url: %q}]
policies:
- name: replay
  runbook: RB-007
  severity: P3
  manual: true
  guards: {approval: {required: true, timeout: 20m}, cooldown: 0s, settle: 0s}
  confirm: []
  steps:
  - {uses: http.request, with: {http: hooks, method: POST, path: /replay}}
  - {uses: http.request, with: {http: hooks, method: POST, path: /again}}
`, token, service.URL))
	d.token = "the-operator-token-0123456789"
	return d, posted
}

// order posts one and decodes what came back.
func (d *daemon) order(path, body string, status int, out any) {
	d.t.Helper()
	got, text := d.send(http.MethodPost, path, body)
	require.Equal(d.t, status, got, text)
	require.NoError(d.t, json.Unmarshal([]byte(text), out))
}

func (d *daemon) detail(id string) handlers.RemediationDetail {
	d.t.Helper()
	var out handlers.RemediationDetail
	require.NoError(d.t, json.Unmarshal([]byte(d.ok("/api/v1/remediations/"+id)), &out))
	return out
}

// asks starts the policy and waits until it asks for consent.
func (d *daemon) asks() handlers.RemediationDetail {
	d.t.Helper()
	var answer handlers.RunAnswer
	d.order("/api/v1/remediations", `{"policy":"replay","labels":{"service":"indexer"},"reason":"a gap"}`, http.StatusCreated, &answer)
	require.Equal(d.t, "await_approval", answer.Verdict)
	require.NotEmpty(d.t, answer.Guards)
	require.Eventually(d.t, func() bool { return d.detail(answer.Remediation).Approval != nil }, 10*time.Second, 5*time.Millisecond)
	return d.detail(answer.Remediation)
}

func TestOrders_ConsentIsForOnePlan(t *testing.T) {
	d, posted := manual(t)
	asked := d.asks()
	require.Equal(t, "awaiting_approval", asked.State)
	require.Equal(t, "await_approval", asked.Verdict)
	require.Equal(t, []string{"approval"}, asked.Approval.Guards)
	require.Equal(t, asked.PlanHash, asked.Approval.PlanHash)
	require.WithinDuration(t, asked.Approval.Requested.Add(20*time.Minute), asked.Approval.Expires, time.Minute)
	var plan struct{ Steps []struct{ Uses string } }
	require.NoError(t, json.Unmarshal(asked.Plan, &plan))
	require.Len(t, plan.Steps, 2, "what is consented to is the whole plan")

	waiting := d.status().AwaitingApproval
	require.Len(t, waiting, 1)
	require.Equal(t, asked.ID, waiting[0].ID)
	require.Equal(t, "replay", waiting[0].Policy)
	require.Equal(t, *asked.Approval, waiting[0].Approval)
	require.Contains(t, waiting[0].Text, "0. http.request: ")
	require.Contains(t, waiting[0].Text, "; 1. http.request: ")
	require.NotEmpty(t, waiting[0].Why)
	require.Empty(t, d.status().Firing, "it is worked at")
	require.Equal(t, 1, d.status().Remediations["awaiting_approval"])

	var alerts handlers.Page[handlers.Alert]
	require.NoError(t, json.Unmarshal([]byte(d.ok("/api/v1/alerts")), &alerts))
	require.Len(t, alerts.Items, 1)
	require.Equal(t, "run", alerts.Items[0].Origin)
	require.Equal(t, "indexer", alerts.Items[0].Labels["service"])
	require.Equal(t, asked.ID, alerts.Items[0].Decided["replay"].Remediation)
	var policies handlers.Page[handlers.Policy]
	require.NoError(t, json.Unmarshal([]byte(d.ok("/api/v1/policies")), &policies))
	require.Len(t, policies.Items, 1)
	require.Equal(t, asked.ID, policies.Items[0].Remediation)
	require.True(t, policies.Items[0].Manual)
	require.Equal(t, []string{"replay", "RB-007", "P3", "live", "closed"},
		[]string{policies.Items[0].Name, policies.Items[0].Runbook, policies.Items[0].Severity, policies.Items[0].Mode, policies.Items[0].Breaker.State})

	path := "/api/v1/remediations/" + asked.ID
	var refused problem.Problem
	d.order(path+"/approve", `{"plan_hash":"another"}`, http.StatusConflict, &refused)
	require.Equal(t, "plan_changed", refused.Code)
	require.Contains(t, refused.Detail, asked.PlanHash)
	require.Contains(t, refused.Detail, "another")
	require.Zero(t, posted.Load())

	var done map[string]string
	d.order(path+"/approve", fmt.Sprintf(`{"plan_hash":%q,"reason":"looked at it"}`, asked.PlanHash), http.StatusOK, &done)
	d.happened(1)
	closed := d.detail(asked.ID)
	require.Equal(t, "unverified", closed.Outcome)
	require.Equal(t, "execute", closed.Verdict)
	require.Equal(t, []string{"granted", "user:alice"}, []string{closed.Approval.Decided, closed.Approval.By})
	require.JSONEq(t, string(asked.Plan), string(closed.Plan), "steps that were planned since do not replace what was consented to")
	require.Equal(t, asked.PlanHash, closed.PlanHash)
	require.EqualValues(t, 2, posted.Load())
	d.order(path+"/approve", fmt.Sprintf(`{"plan_hash":%q}`, asked.PlanHash), http.StatusConflict, &refused)
	require.Equal(t, "conflict", refused.Code)
	require.Empty(t, d.status().AwaitingApproval)
}

func TestOrders_RefusedConsentChangesNothing(t *testing.T) {
	d, posted := manual(t)
	asked := d.asks()
	var done map[string]string
	d.order("/api/v1/remediations/"+asked.ID+"/reject", `{"reason":"not now"}`, http.StatusOK, &done)
	d.happened(1)
	closed := d.detail(asked.ID)
	require.Equal(t, []string{"cancelled", "await_approval"}, []string{closed.Outcome, closed.Verdict})
	require.Equal(t, []string{"rejected", "user:alice"}, []string{closed.Approval.Decided, closed.Approval.By})
	require.Contains(t, closed.Reason.Text, "not now")
	require.Zero(t, posted.Load())
}

func TestOrders_RunThatIsRefusedStartsNothing(t *testing.T) {
	d, posted := manual(t)
	status, body := d.send(http.MethodPost, "/api/v1/pause", `{"reason":"deploy"}`)
	require.Equal(t, http.StatusOK, status, body)
	var refused handlers.RunAnswer
	d.order("/api/v1/remediations", `{"policy":"replay","reason":"a gap"}`, http.StatusConflict, &refused)
	require.Equal(t, []string{"suppress", "paused"}, []string{refused.Verdict, refused.Reason.Code})
	require.NotEmpty(t, refused.Guards)
	status, body = d.send(http.MethodPost, "/api/v1/resume", `{"reason":"deployed"}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, d.ok("/api/v1/audit?type=control.resumed"), "deployed")
	require.Zero(t, d.status().OpenEpisodes, "it does not start by surprise")
	require.Zero(t, posted.Load())
}

func TestOrders_WhatIsNotThere(t *testing.T) {
	d, _ := manual(t)
	for path, c := range map[string]struct{ body, want string }{
		"/api/v1/remediations":              {`{"policy":"replai","reason":"why"}`, "replai"},
		"/api/v1/remediations/r-no/approve": {`{"plan_hash":"ab"}`, "r-no"},
		"/api/v1/remediations/r-no/reject":  {`{}`, "r-no"},
		"/api/v1/clear":                     {`{"target":"http:hooks","reason":"why"}`, "http:hooks"},
	} {
		var p problem.Problem
		d.order(path, c.body, http.StatusNotFound, &p)
		require.Contains(t, p.Detail, c.want, path)
	}
	require.Contains(t, d.ok("/api/v1/upstreams"), `"items":[]`)
}
