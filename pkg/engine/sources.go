package engine

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// WorldSource knows how services are. It tells Engine.WorldChanged of changes.
type WorldSource interface {
	// World is what was last seen; it never blocks.
	World() services.World
	// Refresh looks anew and gives what it saw. What cannot be looked at is Unknown
	// in it; the error says why.
	Refresh(ctx context.Context) (services.World, error)
}

// UpstreamSource watches third parties. It tells Engine.UpstreamChanged of changes.
type UpstreamSource interface {
	// Upstreams by name, with when each last gave a good answer; it never blocks.
	Upstreams() map[string]policy.Upstream
	// Refresh asks the pages of the named upstreams whose last good answer is older
	// than maxAge, and returns once what they answered has been told to the engine,
	// or ctx ends. A page that does not answer is no error: its state stands.
	Refresh(ctx context.Context, maxAge time.Duration, names ...string)
}

// Labels of the alert by which an upstream speaks (design §5, own alerts).
const (
	nameUpstream  = "UpstreamIncident"
	labelUpstream = "upstream"
	labelImpact   = "impact"
)

// spokenFor: only the status page speaks for an upstream that is watched.
func (e *Engine) spokenFor(a alert.Alert) bool {
	if a.Labels["alertname"] != nameUpstream {
		return false
	}
	up := e.snap.Load().Upstreams
	if up == nil {
		return false
	}
	_, watched := up.Upstreams()[a.Labels[labelUpstream]]
	return watched
}

// UpstreamChanged records the transition of an upstream, lets it speak as an alert
// (alertname="UpstreamIncident"), and decides again what waited for it. It returns
// once the transition is durable.
func (e *Engine) UpstreamChanged(ctx context.Context, c upstream.Change) error {
	var err error
	if derr := e.do(ctx, func() { err = e.upstreamChanged(context.WithoutCancel(ctx), c) }); derr != nil {
		return derr
	}
	return err
}

func (e *Engine) upstreamChanged(ctx context.Context, c upstream.Change) error {
	snap := e.snap.Load()
	rec := e.stamp(&audit.Record{
		Type: audit.UpstreamChanged, Mode: string(snap.Mode), Data: audit.JSON(c),
		Reason: &audit.Reason{Code: string(c.State), Text: c.Text},
	}, nil, snap)
	more := e.upstreamSpeaks(c)
	// One append: a state without its alert, or an alert without its state, would
	// outlive a crash.
	if err := e.journal.Append(ctx, append([]*audit.Record{rec}, more...)...); err != nil {
		return err
	}
	e.log.Warn("upstream changed", zap.String("upstream", c.Upstream), zap.String("state", string(c.State)), zap.String("before", string(c.Before)), zap.String("text", c.Text))
	e.spoken(ctx, c.Upstream, more)
	e.lift(ctx, policy.CodeUpstreamIncident, policy.CodeUpstreamUnknown)
	return nil
}

// upstreamSpeaks gives the alert records of a transition. Another impact is another
// label set, so another episode; it keeps the start, and the end of the one before
// is no recovery. What is unknown changes nothing.
func (e *Engine) upstreamSpeaks(c upstream.Change) []*audit.Record {
	open, speaks := e.ledger.Episode(e.speaks[c.Upstream])
	speaks = speaks && open.Open
	d := ledger.AlertData{Cause: ledger.CauseUpstream, Origin: ledger.OriginUpstream, Notification: e.taken}
	end := func(cause string) *audit.Record {
		a := open.Alert
		a.Status, a.EndsAt = alert.Resolved, e.now()
		over := d
		over.Cause = cause
		return e.alertRecord(audit.AlertResolved, open.ID, a, over)
	}
	switch {
	case c.State == upstream.Operational && speaks:
		return []*audit.Record{end(ledger.CauseUpstream)}
	case !c.State.Bad(), speaks && open.Alert.Labels[labelImpact] == c.Impact:
		return nil
	}
	a := alert.Alert{
		Status: alert.Firing, StartsAt: c.Since, Annotations: map[string]string{"summary": c.Text},
		Labels: map[string]string{"alertname": nameUpstream, labelUpstream: c.Upstream, labelImpact: c.Impact},
	}
	if a.StartsAt.IsZero() || a.StartsAt.After(e.now()) {
		a.StartsAt = e.now()
	}
	var out []*audit.Record
	if speaks {
		a.StartsAt = open.Alert.StartsAt
		out = append(out, end(ledger.CauseSuperseded))
	}
	a.Fingerprint = alert.Fingerprint(a)
	return append(out, e.alertRecord(audit.AlertFiring, e.newID("e"), a, d))
}

// raiseUpstreams lets watched upstreams speak that are in trouble on record and have
// no alert: one that was taken out of the configuration and put back.
func (e *Engine) raiseUpstreams(ctx context.Context) {
	up := e.snap.Load().Upstreams
	if up == nil {
		return
	}
	watched := up.Upstreams()
	for _, name := range sortedKeys(watched) {
		u, known := e.ledger.View(string(policy.Live)).Upstream(name)
		// What is on record may be long over: its page must have answered since.
		if !known || !u.State.Bad() || watched[name].LastGood.IsZero() {
			continue
		}
		recs := e.upstreamSpeaks(u.Change)
		if err := e.mustAppend(ctx, recs...); err != nil {
			return
		}
		e.spoken(ctx, name, recs)
	}
}

// spoken works the alert records of an upstream, which are durable.
func (e *Engine) spoken(ctx context.Context, name string, recs []*audit.Record) {
	var touched []string
	for _, r := range recs {
		if r.Type == audit.AlertFiring {
			e.speaks[name] = r.Episode
		} else if e.speaks[name] == r.Episode {
			delete(e.speaks, name)
		}
		if !slices.Contains(touched, r.Episode) {
			touched = append(touched, r.Episode)
		}
	}
	e.changedAll(ctx, touched)
}

// findSpeakers learns from the ledger which episode speaks for which upstream.
func (e *Engine) findSpeakers() {
	for _, ep := range e.ledger.Episodes(true) {
		if ep.Origin == ledger.OriginUpstream {
			e.speaks[ep.Alert.Labels[labelUpstream]] = ep.ID
		}
	}
}

// dropUpstreams ends the alerts of upstreams that are not watched any more. That is
// no recovery: policies on resolution do not act.
func (e *Engine) dropUpstreams(ctx context.Context) {
	var watched map[string]policy.Upstream
	if up := e.snap.Load().Upstreams; up != nil {
		watched = up.Upstreams()
	}
	for _, name := range sortedKeys(e.speaks) {
		ep, ok := e.ledger.Episode(e.speaks[name])
		if _, known := watched[name]; known || !ok || !ep.Open {
			continue
		}
		a := ep.Alert
		a.Status, a.EndsAt = alert.Resolved, e.now()
		rec := e.alertRecord(audit.AlertResolved, ep.ID, a, ledger.AlertData{Cause: ledger.CauseRemoved, Origin: ledger.OriginUpstream, Notification: e.taken})
		if err := e.mustAppend(ctx, rec); err != nil {
			return
		}
		delete(e.speaks, name)
		e.changedAll(ctx, []string{ep.ID})
	}
}

// WorldChanged says that the states of services have changed. It never blocks.
func (e *Engine) WorldChanged() {
	select {
	case e.world <- struct{}{}:
	default:
	}
}

// Budgets of looking anew right before an effect.
const (
	worldBudget    = 5 * time.Second
	upstreamBudget = 10 * time.Second
	upstreamAge    = 5 * time.Second
)

// lookAnew asks the world and the status pages that guards of an effect depend on,
// right before it: what is half a minute old may not be true any more.
func (r *run) lookAnew() {
	newest := r.e.snap.Load()
	if newest.Upstreams != nil {
		ask, cancel := context.WithTimeout(r.reads(), upstreamBudget)
		defer cancel()
		newest.Upstreams.Refresh(ask, upstreamAge, r.upstreams(newest)...)
	}
	if newest.World != nil {
		look, cancel := context.WithTimeout(r.reads(), worldBudget)
		defer cancel()
		world, err := newest.World.Refresh(look)
		if err != nil && r.reads().Err() == nil {
			r.log.Warn("services cannot all be looked at", zap.Error(err))
		}
		r.world = world
	}
}

// upstreams are those that may stand in the way of what this run may do.
func (r *run) upstreams(newest *Snapshot) []string {
	var out []string
	if name := r.book.Policy.Settings.SuppressWhile.Upstream; name != "" {
		out = append(out, name)
	}
	for _, g := range newest.Guardrails {
		if g.SuppressWhile.Upstream != "" && (len(g.Targets) == 0 || slices.ContainsFunc(g.Targets, func(t string) bool { return slices.Contains(r.targets, t) })) {
			out = append(out, g.SuppressWhile.Upstream)
		}
	}
	return unique(out)
}
