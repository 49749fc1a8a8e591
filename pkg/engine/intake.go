package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// intake turns durable notifications into episodes, in the order in which they
// came. All records of one notification are one append: after a crash it is taken
// in again whole, or not at all.
func (e *Engine) intake(ctx context.Context) {
	for _, rec := range e.ledger.Unprocessed() {
		if rec.Seq <= e.taken {
			continue
		}
		if e.isStopping() {
			return // it is durable; the next start takes it in
		}
		touched, err := e.takeIn(ctx, rec)
		if err != nil {
			e.log.Error("notification kept for later", zap.Uint64("seq", rec.Seq), zap.Error(err))
			return
		}
		e.taken = rec.Seq
		e.ledger.Processed(rec.Seq)
		e.changedAll(ctx, touched)
	}
}

// changedAll works what one notification changed. All of it is filed before any of
// it is decided: of a database and its dependents that fail at once each must be
// seen by the others, whatever their order.
func (e *Engine) changedAll(ctx context.Context, ids []string) {
	snap := e.snap.Load()
	for _, id := range ids {
		ep, ok := e.ledger.Episode(id)
		if !ok {
			continue
		}
		e.refile(ep)
		if ep.Open && len(ep.Decided) == 0 { // new: nobody has looked at it yet
			e.countStorm(snap, ep)
		}
	}
	// What fires goes first: it joins what the end of another would withdraw.
	slices.SortStableFunc(ids, func(a, b string) int { return cmp.Compare(e.ends(a), e.ends(b)) })
	e.batched(ctx, func() {
		for _, id := range ids {
			e.changed(ctx, id)
		}
	})
	for _, rem := range sortedKeys(e.watched) {
		e.judgeEffect(ctx, rem, false)
	}
	e.liftSoon(policy.CodeAlertFiring, policy.CodeDependency)
}

// ends orders episodes: 1 for one that has ended.
func (e *Engine) ends(id string) int {
	if ep, ok := e.ledger.Episode(id); ok && ep.Open {
		return 0
	}
	return 1
}

// takeIn records what a notification changes and gives the episodes concerned.
func (e *Engine) takeIn(ctx context.Context, rec audit.Record) ([]string, error) {
	var d NotificationData
	var n alert.Notification
	if err := json.Unmarshal(rec.Data, &d); err != nil {
		return nil, nil //nolint:nilerr // a record that cannot be read stays in the journal; there is nothing to take in
	}
	if err := json.Unmarshal(d.Payload, &n); err != nil || n.Data == nil {
		return nil, nil //nolint:nilerr // as above
	}
	var recs []*audit.Record
	var touched []string
	for _, a := range n.Alerts {
		a.Fingerprint = alert.Fingerprint(a)
		if e.spokenFor(a) {
			e.log.Warn("an alert that speaks for a watched upstream is left out: only its status page does", zap.String("upstream", a.Labels["upstream"]))
			continue
		}
		more := e.transition(a, ledger.AlertData{
			Notification: rec.Seq, Cause: ledger.CauseWebhook, GroupKey: n.GroupKey, Received: rec.Time.Time,
		})
		for _, r := range more {
			touched = append(touched, r.Episode)
		}
		recs = append(recs, more...)
	}
	if len(recs) == 0 {
		e.freshened(ctx, n)
		return nil, nil
	}
	if err := e.mustAppend(ctx, recs...); err != nil {
		return nil, err
	}
	e.boundary("received")
	return touched, nil
}

// transition gives the records that one alert causes, none for a repetition.
func (e *Engine) transition(a alert.Alert, d ledger.AlertData) []*audit.Record {
	ep, known := e.ledger.Latest(a.Fingerprint)
	if a.Status == alert.Resolved {
		return e.resolving(a, ep, known, d)
	}
	switch {
	case !known:
		return []*audit.Record{e.alertRecord(audit.AlertFiring, e.newID("e"), a, d)}
	case ep.Open && !ep.Continues(a.StartsAt):
		old := d
		old.Cause = ledger.CauseSuperseded
		return []*audit.Record{
			e.alertRecord(audit.AlertResolved, ep.ID, ep.Alert, old),
			e.alertRecord(audit.AlertFiring, e.newID("e"), a, d),
		}
	case ep.Open && a.StartsAt.Before(ep.Alert.StartsAt):
		d.Cause = ledger.CauseMoved
		return []*audit.Record{e.alertRecord(audit.AlertFiring, ep.ID, a, d)}
	case ep.Open:
		return nil
	case !ep.Continues(a.StartsAt):
		return []*audit.Record{e.alertRecord(audit.AlertFiring, e.newID("e"), a, d)}
	case ep.ClosedAt.After(d.Received): // closed since: old news, taken in late
		return nil
	default: // fires again with its old startsAt
		d.Reopened = true
		return []*audit.Record{e.alertRecord(audit.AlertFiring, ep.ID, a, d)}
	}
}

// resolving closes an open episode, unless the resolution is an older episode's
// that was delivered late.
func (e *Engine) resolving(a alert.Alert, ep ledger.Episode, known bool, d ledger.AlertData) []*audit.Record {
	end := alert.EndsAt(a)
	switch {
	case !known:
		return []*audit.Record{e.alertRecord(audit.AlertResolved, e.newID("e"), a, d)}
	case !ep.Open && (ep.Cause == ledger.CauseAbsent || ep.Cause == ledger.CauseSilenced):
		// It was closed on suspicion; now Alertmanager says so.
		return []*audit.Record{e.alertRecord(audit.AlertResolved, ep.ID, a, d)}
	case !ep.Open:
		if !end.IsZero() && a.StartsAt.After(ep.Alert.StartsAt) && end.After(ep.ClosedAt) {
			return []*audit.Record{e.alertRecord(audit.AlertResolved, e.newID("e"), a, d)}
		}
		return nil
	case !end.IsZero() && end.Before(ep.Alert.StartsAt):
		return nil
	default:
		return []*audit.Record{e.alertRecord(audit.AlertResolved, ep.ID, a, d)}
	}
}

func (e *Engine) alertRecord(t audit.Type, episode string, a alert.Alert, d ledger.AlertData) *audit.Record {
	snap := e.snap.Load()
	return e.stamp(&audit.Record{
		Type: t, Mode: string(snap.Mode), Actor: "system", Episode: episode, Alert: &a, Data: audit.JSON(d),
	}, nil, snap)
}

// freshened: a repetition is news for cases that wait to hear whether the alert
// still fires.
func (e *Engine) freshened(ctx context.Context, n alert.Notification) {
	for _, a := range n.Alerts {
		ep, ok := e.ledger.Latest(alert.Fingerprint(a))
		if !ok || !ep.Open || a.Status != alert.Firing {
			continue
		}
		for name, d := range ep.Decided {
			if asks(d.Code) {
				e.evaluate(ctx, caseID{ep.ID, name})
			}
		}
	}
}

// asks says whether a case with this code waits for word of the alert.
func asks(code string) bool {
	return code == "alert_unknown" || code == "silenced" || code == "resolved"
}

// changed: an episode was opened, reopened, moved or resolved.
func (e *Engine) changed(ctx context.Context, id string) {
	ep, ok := e.ledger.Episode(id)
	if !ok {
		return
	}
	e.log.Info(map[bool]string{true: "alert firing", false: "alert resolved"}[ep.Open],
		zap.String("episode", ep.ID), zap.String("fingerprint", ep.Fingerprint),
		zap.String("alertname", ep.Alert.Labels["alertname"]), zap.Time("starts_at", ep.Alert.StartsAt), zap.String("cause", ep.Cause))
	if !ep.Open {
		delete(e.absent, id)
	}
	for _, key := range sortedKeys(e.filed[id]) {
		delete(e.retries, key)
		e.evaluate(ctx, e.cases[key])
	}
	e.releaseAsking(ctx, id)
	e.consider(ctx, ep)
}
