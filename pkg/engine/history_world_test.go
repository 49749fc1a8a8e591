package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// Rules of the random histories: small enough to be met.
var (
	flapRule  = policy.Flap{Changes: 4, Within: time.Hour, Clear: 15 * time.Minute}
	stormRule = policy.Storm{Episodes: 6, Within: time.Minute, Clear: 5 * time.Minute}
)

const (
	maxUnhealthy = 1
	forApi2      = 5 * time.Minute
	muteMinutes  = 20 // of each hour, for Web
	onRecovery   = "on-recovery"
)

// books are the policies of the histories: between them they use every guard.
func books(w *world) []*Runbook {
	book := func(alertname, target string) *Runbook {
		b := w.runbook(alertname, target, "")
		b.Steps[0] = w.step(0, PhaseSteps, "docker.restart", target)
		b.Policy.Name = "p-" + alertname
		b.Policy.Settings.Breaker = policy.Breaker{Failures: 3, OpenFor: time.Hour}
		b.Hash = "h-" + alertname
		return b
	}
	api, api2, web, both := book("Api", "api"), book("Api2", "api"), book("Web", "web"), book("Both", "api")
	api2.Policy.Settings.For = forApi2
	both.Steps = append(both.Steps, w.step(1, PhaseSteps, "docker.restart", "web"))
	both.Policy.Severity, both.Policy.Settings.Cooldown = "P1", 0 // as RB-001
	web.Policy.Settings.Breaker.Failures = 2
	web.Policy.Settings.Mute = []policy.Interval{{Name: "maintenance", Times: []timeinterval.TimeInterval{mute()}}}
	db := book("Db", "db")
	db.Policy.Severity, db.Policy.HoldOnFailure = "P1", true
	ask := book("Ask", "ask")
	ask.Policy.Settings.Approval = policy.Approval{Required: true, Timeout: 30 * time.Minute}
	sup := book("Sup", "sup")
	sup.Policy.Settings.SuppressWhile = policy.SuppressWhile{Upstream: "stellar", Alert: matchers(`alertname="Db"`)[0], PolicyRunning: "p-Db"}
	manual := book("Manual", "web")
	manual.Policy.Manual, manual.Policy.Matchers = true, nil
	fire := book("UpstreamIncident", "up")
	fire.Policy.Name, fire.Policy.Settings.For = "on-incident", 15*time.Minute
	over := book("UpstreamIncident", "up")
	over.Policy.Name, over.Policy.On = onRecovery, policy.OnResolved
	return []*Runbook{api, api2, web, both, db, book("Indexer", "indexer"), ask, sup, book("Me", "me"), manual, fire, over}
}

// mute is the first minutes of each hour.
func mute() timeinterval.TimeInterval {
	var out timeinterval.TimeInterval
	for h := range 24 {
		out.Times = append(out.Times, timeinterval.TimeRange{StartMinute: h * 60, EndMinute: h*60 + muteMinutes})
	}
	return out
}

// more lives the events that concern guards.
func (h *history) more(o op) {
	ctx := context.Background()
	switch o.kind {
	case "service":
		name := serviceNames[o.draw(0, len(serviceNames)-1)]
		kinds := []struct {
			state services.State
			cause services.Cause
		}{
			{services.Healthy, ""},
			{services.Healthy, ""},
			{services.Unhealthy, ""},
			{services.Starting, ""},
			{services.Running, ""},
			{services.Unknown, ""},
			{services.Stopped, services.ByKill},
			{services.Stopped, services.ByCrash},
			{services.Stopped, services.ByUnknown},
		}
		k := kinds[o.draw(1, len(kinds)-1)]
		h.w.sky.set(name, k.state, k.cause)
		h.e.WorldChanged()
	case "page":
		state := []upstream.State{upstream.Operational, upstream.Incident, upstream.Incident, upstream.Maintenance}[o.draw(0, 3)]
		h.w.sky.turnPage(state, o.draw(1, 3) > 0)
	case "answer":
		h.answer(o)
	case "run":
		all := append([]*Runbook{}, h.books...)
		_, _ = h.e.Run(ctx, all[o.draw(0, len(all)-1)].Policy.Name, map[string]string{"why": "asked"}, "user:ops", "asked")
	case "clear":
		for _, q := range h.journal.ledger.Quarantines() {
			_ = h.e.Clear(ctx, q.Target, "user:ops", "looked at")
		}
	case "burst":
		var list []alert.Alert
		for i := range 3 + o.draw(0, 5) {
			list = append(list, h.fire(names[(o.draw(1, 8)+i)%len(names)], 0, fmt.Sprint("burst", i)))
		}
		h.send(list...)
	case "flap":
		var a alert.Alert
		name := names[o.draw(0, len(names)-1)]
		for range 1 + o.draw(2, 4) {
			a = h.fire(name, 0, "flap")
			h.send(a)
			pass(time.Duration(1+o.draw(1, 90)) * time.Second)
			delete(h.firing, a.Fingerprint)
			h.w.drop(a.Fingerprint)
			h.send(resolved(a, time.Now()))
			pass(time.Second)
		}
		if o.draw(3, 1) == 0 {
			h.send(h.fire(name, 0, "flap"))
		}
	case "slow": // one restart takes long, and another policy wants the same target
		h.w.mu.Lock()
		h.w.takes = time.Duration(1+o.draw(0, 120)) * time.Second
		h.w.mu.Unlock()
		h.w.symptom.Store(true)
		h.w.unknown.Store(false)
		for _, name := range []string{"api", "db", "web"} {
			h.w.sky.set(name, services.Healthy, "")
		}
		h.send(h.fire("Api", 0, "slow"))
		pass(time.Duration(1+o.draw(1, 60)) * time.Second)
		h.send(h.fire([]string{"Both", "Api2"}[o.draw(2, 1)], time.Duration(o.draw(3, 1)*10)*time.Minute, "slow"))
		pass(time.Second)
	case "old":
		h.send(h.fire(names[o.draw(0, len(names)-1)], 3*time.Hour+time.Duration(o.draw(1, 120))*time.Minute, "old"))
	case "incident": // and an alert that it causes
		h.w.sky.turnPage(upstream.Incident, true)
		pass(time.Duration(30+o.draw(0, 300)) * time.Second)
		h.w.sky.set("db", services.Healthy, "")
		h.send(h.fire([]string{"Indexer", "Sup"}[o.draw(1, 1)], 0, "incident"))
	case "repeat": // one alert fires on and on
		a := h.fire(names[o.draw(0, len(names)-1)], 0, "repeat")
		for range 3 {
			h.send(a)
			pass(16 * time.Minute)
		}
	case "order":
		for _, a := range h.e.View().Active {
			if a.State == "held" {
				_ = h.e.Order(ctx, a.ID, o.draw(0, 1) == 0, "user:ops", "decided")
			}
		}
	case "scoped":
		scope := []string{"policy:p-Api", "policy:p-Web", "target:web", "target:db"}[o.draw(0, 3)]
		if o.draw(1, 1) == 0 {
			_ = h.e.Pause(ctx, "user:ops", scope, "", time.Now().Add(time.Duration(1+o.draw(2, 1200))*time.Second))
		} else {
			_ = h.e.Resume(ctx, "user:ops", scope, "")
		}
	}
}

// fire makes an alert that Alertmanager holds from now on.
func (h *history) fire(name string, age time.Duration, n string) alert.Alert {
	a := firing(name, time.Now().Add(-age), "n", n)
	h.firing[a.Fingerprint] = a
	h.w.hold(a.Fingerprint, CurrentAlert{Alert: a, State: StateActive})
	return a
}

// answer lets a person answer what is asked: with the right hash, or a wrong one.
func (h *history) answer(o op) {
	ctx := context.Background()
	for _, a := range h.e.View().Active {
		if a.Asks == nil {
			continue
		}
		switch o.draw(0, 4) {
		case 0:
			_ = h.e.Reject(ctx, a.ID, "user:ops", "no")
		case 1:
			_ = h.e.Approve(ctx, a.ID, "another", "user:ops", "")
		default:
			_ = h.e.Approve(ctx, a.ID, a.Asks.PlanHash, "user:ops", "yes")
		}
	}
}
