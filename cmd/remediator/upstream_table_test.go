package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/statuspage"
)

const skyConfig = `mode: live
storage: {path: data/remediator.db}
docker:
- {name: local, host: "@ENGINE@", project: "@PROJECT@", services: [@SERVICE@]}
upstreams:
- name: stellar
  statuspage: "@PAGE@"
  components: [Stellar Public Network, SDF Public Network Horizon]
  interval: 5s
  stale_after: @STALE@
  resume_after: @RESUME@
guardrails:
- name: indexer-rides-out-stellar-incidents
  services: [@SERVICE@]
  actions: [docker.restart]
  suppress_while: {upstream: stellar}
policies:
- name: RB-002-indexer-down
  matchers: ['alertname="ServiceDown"']
  confirm:
  - {uses: docker.healthy, with: {service: @SERVICE@}, expect: failure}
  steps:
  - {uses: docker.restart, with: {service: @SERVICE@, timeout: 1s}}
  verify:
  - {uses: docker.healthy, with: {service: @SERVICE@}, within: 30s}
`

// sky is one scene of the status page, and what is awaited before an alert about the
// indexer comes.
type sky struct {
	name   string            // for people
	first  *statuspage.Scene // that the daemon sees before; nil: none
	scene  statuspage.Scene
	ago    time.Duration // since when it is so, by the page's word
	state  string        // of the upstream that is awaited; "": looks
	looks  int           // at the page that are awaited
	stale  string        // stale_after; default 10s
	resume string        // resume_after; default 10m
	lifts  bool          // the guard lifts within the test, and that decision counts
}

var allIsWell = &statuspage.Scene{}

func incident(status string) statuspage.Scene { return statuspage.Scene{Incident: status} }

func fault(name string) statuspage.Scene { return statuspage.Scene{Fault: name} }

var skies = []sky{
	{name: "all operational", state: "operational"},
	{name: "incident, investigating", scene: incident("investigating"), state: "incident"},
	{name: "incident, identified", scene: incident("identified"), state: "incident"},
	{name: "incident that names no component", scene: statuspage.Scene{Incident: "investigating", Components: []string{}}, state: "incident"},
	{name: "incident of a testnet component alone", scene: statuspage.Scene{Incident: "investigating", Components: []string{statuspage.TestHorizon}}, state: "operational"},
	{name: "incident, monitoring for 30 minutes", scene: incident("monitoring"), ago: 30 * time.Minute, state: "incident"},
	{name: "incident, monitoring for 7 days, components operational", scene: incident("monitoring"), ago: 7 * 24 * time.Hour, state: "operational"},
	{
		name:  "incident, monitoring for 7 days, a component degraded",
		scene: statuspage.Scene{Incident: "monitoring", ComponentStatus: "degraded_performance"}, ago: 7 * 24 * time.Hour, state: "incident",
	},
	{name: "incident resolved a moment ago", first: new(incident("identified")), state: "operational"},
	{name: "incident resolved, resume_after over", first: new(incident("identified")), state: "operational", resume: "2s", lifts: true},
	{name: "maintenance announced for tomorrow", scene: statuspage.Scene{Maintenance: "scheduled"}, state: "operational"},
	{name: "maintenance in progress", scene: statuspage.Scene{Maintenance: "in_progress"}, state: "maintenance"},
	{name: "an incident that is there at every second look", scene: statuspage.Scene{Incident: "investigating", Flaps: true}, looks: 4},
	{name: "500, for less than stale_after", first: allIsWell, scene: fault("500"), looks: 1, stale: "1m"},
	{name: "500, for longer", first: allIsWell, scene: fault("500"), state: "unknown"},
	{name: "500, since remediator started", scene: fault("500"), looks: 1, stale: "1m"},
	{name: "500, in the middle of an incident", first: new(incident("identified")), scene: fault("500"), state: "unknown"},
	{name: "no answer in time", first: allIsWell, scene: fault("hang"), state: "unknown", stale: "15s"},
	{name: "a web page instead of JSON", first: allIsWell, scene: fault("html"), state: "unknown"},
	{name: "JSON that breaks off", first: allIsWell, scene: fault("truncated"), state: "unknown"},
	{name: "302 to a login", first: allIsWell, scene: fault("redirect"), state: "unknown"},
	{name: "302 to another host (switched off)", first: allIsWell, scene: fault("inactive"), state: "unknown"},
	{name: "401", first: allIsWell, scene: fault("401"), state: "unknown"},
}

// outcome is what an alert about the indexer led to.
type outcome struct{ state, verdict, code, text, restarted string }

// TestUpstreams_WhatBecomesOfTheIndexer shows scenes of a status page to a live
// daemon and a real container each, and compares what they led to with
// docs/upstream-incidents.md. With UPDATE_GOLDEN=1 that is written.
func TestUpstreams_WhatBecomesOfTheIndexer(t *testing.T) {
	t.Parallel()
	l := lab.New(t) // one for all: networks of the engine are few
	rows := make([]outcome, len(skies))
	var all sync.WaitGroup
	slots := make(chan struct{}, 12) // they wait for the page nearly all the time
	for i, c := range skies {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(c.name, func(t *testing.T) { rows[i] = c.play(t, l, fmt.Sprintf("indexer-%02d", i)) })
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	var text strings.Builder
	text.WriteString(tableHead)
	for i, r := range rows {
		fmt.Fprintf(&text, "| %s | %s | `%s` `%s` | %s | %s |\n", skies[i].name, r.state, r.verdict, r.code, r.text, r.restarted)
	}
	const file = "../../docs/upstream-incidents.md"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String(), "UPDATE_GOLDEN=1 writes it anew")
}

const tableHead = `# What an incident of Stellar does to an alert about the indexer

Each line was played: a status page with the real one's JSON, the daemon in mode live, a container that is unhealthy until it is
restarted, and a guardrail on the indexer (` + "`suppress_while: {upstream: stellar}`" + `) that watches *Stellar Public Network* and
*SDF Public Network Horizon*. The test that does so compares this file: ` + "`UPDATE_GOLDEN=1 go test ./cmd/remediator -run TestUpstreams`" + `
writes it. Everything that is suppressed here is decided again by itself, without another alert, once the guard lifts. Each
refusal begins with the guardrail's name and what it forbids, which is left out below.

| the page shows | state | verdict | because | restarted |
|---|---|---|---|---|
`

// play a scene to a daemon of its own.
func (c sky) play(t *testing.T, l *lab.Lab, service string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	s := c.stage(ctx, t, l, service)
	spec := brokenOnce(service)
	spec.NoPublish = true
	require.NoError(t, l.Service(ctx, spec))
	require.NoError(t, l.WaitUnhealthy(ctx, service))

	begin := c.scene
	if c.first != nil {
		begin = *c.first
	}
	s.page.Show(begin, time.Now().Add(-c.ago))
	require.NoError(t, s.serve(ctx, nil))
	if c.first != nil {
		_, err := s.await(ctx, 1, want{kind: "upstream.changed"})
		require.NoError(t, err)
		s.page.Show(c.scene, time.Now().Add(-c.ago))
	}
	c.awaitState(ctx, t, s)
	status, text, err := s.post(ctx, notification(webhookAlert{job: "indexer", startsAt: time.Now()}))
	require.NoError(t, err)
	require.Equal(t, 200, status, text)
	return c.outcome(ctx, t, s, l, service)
}

// stage is a scene without a lab and a proxy of its own.
func (c sky) stage(ctx context.Context, t *testing.T, l *lab.Lab, service string) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), env: os.Environ(), began: time.Now(), lab: l}
	url := s.statusPage()
	stop := sync.OnceFunc(func() {
		if s.daemon != nil {
			s.daemon.kill()
		}
		s.site.CloseClientConnections()
		s.site.Close()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() && s.daemon != nil {
			t.Log(s.daemon.logs())
		}
	})
	or := func(value, missing string) string {
		if value == "" {
			return missing
		}
		return value
	}
	require.NoError(t, s.write("config.yaml", strings.NewReplacer(
		"@SERVICE@", service, "@PAGE@", url, "@PROJECT@", l.Project, "@ENGINE@", l.Docker.DaemonHost(),
		"@STALE@", or(c.stale, "10s"), "@RESUME@", or(c.resume, "10m"),
	).Replace(skyConfig)))
	require.NoError(t, s.reserve(ctx))
	return s
}

// awaitState waits until the daemon has found what the page shows.
func (c sky) awaitState(ctx context.Context, t *testing.T, s *scene) {
	t.Helper()
	if c.state != "" {
		_, err := s.await(ctx, 1, want{"upstream.changed", map[string]string{"reason.code": c.state}})
		require.NoError(t, err)
		return
	}
	before, _ := s.page.Requests()
	if c.first == nil {
		before = 0
	}
	require.Eventually(t, func() bool { n, _ := s.page.Requests(); return n >= before+c.looks }, patience, 50*time.Millisecond)
}

// outcome is read from the records, once no more comes of the alert.
func (c sky) outcome(ctx context.Context, t *testing.T, s *scene, l *lab.Lab, service string) outcome {
	t.Helper()
	w := want{"remediation.decided", map[string]string{"policy": "RB-002-indexer-down"}}
	if c.lifts {
		w.values["verdict"] = "execute"
	}
	r, err := s.await(ctx, 1, w)
	require.NoError(t, err)
	if r.get("verdict") == "execute" {
		_, err := s.await(ctx, 1, want{kind: "remediation.closed"})
		require.NoError(t, err)
	}
	require.NoError(t, s.daemon.stop(ctx))
	changes, err := s.records(ctx, "--type=upstream.changed")
	require.NoError(t, err)
	out := outcome{state: "not known yet", verdict: r.get("verdict"), code: r.get("reason.code"), text: timeless(r.get("reason.text"), service), restarted: "no"}
	if len(changes) > 0 {
		out.state = changes[len(changes)-1].get("reason.code")
	}
	n, err := l.Restarts(ctx, service)
	require.NoError(t, err)
	if n > 0 {
		out.restarted = "yes"
		require.Equal(t, 1, n)
	}
	intents, err := s.records(ctx, "--type=step.started")
	require.NoError(t, err)
	require.Len(t, intents, n, "who restarted it?")
	_, err = s.program(ctx, "audit", "verify")
	require.NoError(t, err)
	return out
}

var (
	clockMark = regexp.MustCompile(`(\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d)?Z`)
	pageMark  = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
)

// timeless makes a text the same whenever and wherever it was written.
func timeless(text, service string) string {
	text = clockMark.ReplaceAllString(text, "TIME")
	text = pageMark.ReplaceAllString(text, "https://status.stellar.org")
	text = strings.ReplaceAll(text, service, "indexer")
	return strings.TrimPrefix(text, `guardrail "indexer-rides-out-stellar-incidents" for docker.restart of docker:local/indexer: `)
}
