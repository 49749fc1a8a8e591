package engine

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/dispatch"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// finished frees what a run held and sees to what comes next for its episodes.
func (e *Engine) finished(ctx context.Context, res result) {
	r, end := res.run, res.end
	if end.asking != nil {
		e.asksNow(r, end.asking)
		e.reviewAsking(ctx, r)
		e.reconsider(ctx, false)
		return
	}
	e.deactivate(r)
	e.schedOf(r).Release(r.id)
	if end.left {
		return
	}
	p := r.book.Policy
	if r.began && (end.outcome == OutcomeInterrupted || end.outcome == OutcomeFailed || end.outcome == OutcomeExpired || r.quarantines(end)) {
		e.tellFailure(ctx, r, end)
	}
	for _, id := range r.joined() {
		e.next(ctx, caseID{id, p.Name}, r, end)
	}
	if r.began && p.On == policy.OnFiring {
		e.watchEffect(ctx, r.id)
	}
	e.endRuns(ctx, r)
	e.reconsider(ctx, false)
}

// next schedules the next decision of a case whose run ended (design §5, deciding
// again). Guards answer for what had an effect; what ended before one is tried
// again quietly, ever less often.
func (e *Engine) next(ctx context.Context, c caseID, r *run, end *ending) {
	key := c.key()
	e.file(c)
	ep, ok := e.ledger.Episode(c.episode)
	e.ended[key] = ended{at: e.now(), runs: e.ended[key].runs + 1, failure: end.failure(r)}
	over := r.began || end.outcome == OutcomePlanned || end.outcome == OutcomeEscalated ||
		end.outcome == OutcomeExpired || end.reason.Code == "rejected"
	switch {
	case !ok, ep.Origin == ledger.OriginRun, r.book.Policy.On == policy.OnResolved && over:
		e.forget(key)
	case over && (end.outcome != OutcomePlanned || len(r.plannedTargets()) > 0):
		delete(e.retries, key)
		e.evaluate(ctx, c)
	case end.outcome == OutcomePlanned:
		e.retries[key]++
		e.timers.Set(key, e.now().Add(max(r.book.Policy.Settings.Settle, RetryMost)))
	case !ep.Open && r.book.Policy.On == policy.OnFiring:
		e.evaluate(ctx, c)
	case end.decision != nil && asks(string(end.decision.Code)):
		e.retries[key]++
		e.timers.Set(key, e.now().Add(AskAgain))
	default:
		at := e.now().Add(e.backoff(key))
		if d := end.decision; d != nil {
			if d.Until.After(at) {
				at = d.Until
			}
			e.waits.add(key, d.Code)
		}
		e.timers.Set(key, at)
	}
}

// ended is when a case's last run ended, and how many there were.
type ended struct {
	at      time.Time
	runs    int
	failure string // before its first effect, "" when it was none
}

// earliest is when a case may run again whatever the guards say: a configuration
// without waits (settle and cooldown of 0s) must not become a busy loop.
func (e *Engine) earliest(key string) time.Time {
	last, ok := e.ended[key]
	if !ok {
		return time.Time{}
	}
	return last.at.Add(min(time.Second<<min(last.runs-1, 10), RetryMost))
}

// forget a case: nothing is to be decided about it any more.
func (e *Engine) forget(key string) {
	if c, ok := e.cases[key]; ok {
		if delete(e.filed[c.episode], key); len(e.filed[c.episode]) == 0 {
			delete(e.filed, c.episode)
		}
	}
	e.waits.lifted(e.waits.drop(key))
	delete(e.cases, key)
	delete(e.retries, key)
	delete(e.ended, key)
	e.timers.Delete(key)
}

// tellFailure tells people of a run that was interrupted, at once, or of one that
// failed and was the last attempt, or whose targets nobody touches any more.
func (e *Engine) tellFailure(ctx context.Context, r *run, end *ending) {
	ep, _ := r.episode()
	p := r.book.Policy
	text := "remediation " + r.id + " " + end.outcome + ": " + end.reason.Text
	if end.err != "" {
		text += ": " + end.err
	}
	// What was left half done is told each time, whatever was told before.
	if r.quarantines(end) {
		e.tell(ctx, r.snap, p, ep, r.id, actions.Message{Text: text + "; its targets are in quarantine until a person clears them"})
	} else if end.outcome != OutcomeFailed {
		e.tell(ctx, r.snap, p, ep, r.id, actions.Message{Text: text})
	} else if n := e.ledger.View(string(r.mode)).Attempts(p.Name, ep.ID, ""); n >= p.Settings.Attempts {
		e.escalate(ctx, r.snap, p, ep, r.id, text+"; no attempt is left")
	}
}

// escalate tells people once per episode and policy. In dry run nobody is told.
func (e *Engine) escalate(ctx context.Context, snap *Snapshot, p *policy.Policy, ep ledger.Episode, remediation, text string) {
	now, ok := e.ledger.Episode(ep.ID)
	if !ok || now.Escalated[p.Name] || snap.mode(p) == policy.DryRun {
		return
	}
	e.tell(ctx, snap, p, ep, remediation, actions.Message{Text: text})
}

// EscalationData is the data of escalation.sent.
type EscalationData struct {
	To   []string `json:"to,omitempty"`
	Text string   `json:"text"`
	Via  string   `json:"via"`
}

// tell records and logs a message to people.
func (e *Engine) tell(ctx context.Context, snap *Snapshot, p *policy.Policy, ep ledger.Episode, remediation string, m actions.Message) {
	e.send(ctx, snap, p, ep, remediation, m, codeEscalated)
}

// codeEscalated is the reason of a message that hands something over to people; one
// that asks for consent carries another and is no escalation of the episode.
const codeEscalated = "escalated"

func (e *Engine) send(ctx context.Context, snap *Snapshot, p *policy.Policy, ep ledger.Episode, remediation string, m actions.Message, code string) {
	if snap.mode(p) == policy.DryRun {
		return
	}
	to := m.To
	if len(to) == 0 {
		to = p.Escalate
	}
	a := ep.Alert
	text := snap.RedactText(m.Text)
	e.log.Error("escalation", zap.Strings("to", to), zap.String("text", text), zap.String("policy", p.Name),
		zap.String("remediation", remediation), zap.String("episode", ep.ID), zap.String("fingerprint", ep.Fingerprint))
	rec := e.stamp(&audit.Record{
		Type: audit.EscalationSent, Mode: string(snap.mode(p)), Episode: ep.ID, Remediation: remediation, Alert: &a,
		Reason: &audit.Reason{Code: code, Text: text}, Data: audit.JSON(EscalationData{To: to, Text: text, Via: "log"}),
	}, p, snap)
	if err := e.mustAppend(ctx, rec); err != nil {
		e.log.Error("escalation not recorded", zap.Error(err))
	}
}

// askPeople tells people that a remediation asks for consent. In dry run nobody is
// asked.
func (e *Engine) askPeople(ctx context.Context, r *run, ep ledger.Episode, text string) {
	e.send(ctx, r.snap, r.book.Policy, ep, r.id, actions.Message{Text: text}, string(policy.CodeApproval))
}

// Effects on the alert (design §1).
const (
	EffectEffective   = "effective"
	EffectIneffective = "ineffective"
	EffectUnknown     = "unknown"
)

// watchEffect asks of the alert whether a remediation helped: now if all its
// episodes have resolved already, else when settle has passed.
func (e *Engine) watchEffect(ctx context.Context, id string) {
	rem, ok := e.ledger.Remediation(id)
	if !ok || rem.Effect != "" {
		return
	}
	settle := time.Duration(0)
	if rb := e.snap.Load().Runbooks[rem.Policy]; rb != nil {
		settle = rb.Policy.Settings.Settle
	}
	e.timers.Set(prefixEffect+id, rem.ClosedAt.Add(settle))
	e.watched[id] = true
	e.judgeEffect(ctx, id, false)
}

// judgeEffect records remediation.effect once it is known.
func (e *Engine) judgeEffect(ctx context.Context, id string, deadline bool) {
	rem, ok := e.ledger.Remediation(id)
	if !ok || rem.Effect != "" || rem.State != ledger.Closed || !rem.HadEffect() {
		return
	}
	effect, open := EffectEffective, 0
	for _, ep := range rem.Episodes {
		switch got, ok := e.ledger.Episode(ep); {
		case ok && got.Origin == ledger.OriginRun: // it ends with the remediation and says nothing
			if len(rem.Episodes) == 1 {
				effect = EffectUnknown
			}
		case ok && got.Open:
			open++
		case !ok || got.Cause == ledger.CauseSilenced:
			effect = EffectUnknown
		}
	}
	switch {
	case open > 0 && !deadline:
		return
	case open > 0:
		effect = EffectIneffective
	}
	e.timers.Delete(prefixEffect + id)
	delete(e.watched, id)
	snap := e.snap.Load()
	rec := &audit.Record{
		Type: audit.RemediationEffect, Remediation: id, Mode: rem.Mode, Policy: rem.Policy, Runbook: rem.Runbook,
		Severity: rem.Severity, Episode: first(rem.Episodes), Targets: rem.Targets, Effect: effect,
		Data: audit.JSON(map[string]any{"episodes": rem.Episodes, "still_firing": open}),
	}
	e.metrics.Effect(rem.Policy, effect)
	e.log.Info("effect", zap.String("remediation", id), zap.String("effect", effect), zap.Int("still_firing", open))
	if err := e.mustAppend(ctx, e.stamp(rec, nil, snap)); err != nil {
		e.log.Error("effect not recorded", zap.String("remediation", id), zap.Error(err))
	}
}

// withdrawQueued closes a run that was not started after all.
func (e *Engine) withdrawQueued(ctx context.Context, r *run, d policy.Decision) {
	end := withdraw(d)
	r.close(ctx, end)
	e.deactivate(r)
	e.schedOf(r).Release(r.id)
	e.endRuns(ctx, r)
	for _, id := range r.joined() {
		c := caseID{id, r.book.Policy.Name}
		key := c.key()
		delete(e.retries, key)
		// What is allowed for one episode and refused for another that joined it must
		// not go round in circles.
		e.ended[key] = ended{at: e.now(), runs: e.ended[key].runs + 1}
		e.evaluate(ctx, c)
	}
}

// dropQueue closes what had not started when the daemon stops. What a person
// consented to goes on after the restart.
func (e *Engine) dropQueue(ctx context.Context) {
	for _, sched := range []*dispatch.Scheduler{e.sched, e.dry} {
		for _, j := range sched.Queued() {
			sched.Remove(j.ID)
			if r := e.active[j.ID]; r != nil {
				if !r.consented() {
					r.close(ctx, r.stopped())
				}
				e.deactivate(r)
			}
		}
	}
	for _, id := range sortedKeys(e.active) { // requests outlive a restart
		r := e.active[id]
		if postponed := r.state.Load() == stateQueued; postponed || r.asking.Load() != nil && !r.began {
			e.deactivate(r)
		}
	}
}

// loadedRecord says which configuration is in force.
func (e *Engine) loadedRecord(snap *Snapshot, actor string) *audit.Record {
	return e.stamp(&audit.Record{
		Type: audit.ConfigLoaded, Mode: string(snap.Mode), Actor: actor,
		Data: audit.JSON(map[string]any{"policies": len(snap.Policies.Policies())}),
	}, nil, snap)
}

// Reload swaps in a configuration that was built completely. Running remediations
// keep theirs; waiting ones are decided anew.
func (e *Engine) Reload(ctx context.Context, snap *Snapshot, actor string) error {
	var err error
	// A caller that gives up in the middle must not leave it half done, or on record
	// and not in force.
	keep := context.WithoutCancel(ctx)
	if derr := e.do(keep, func() {
		if err = e.journal.Append(keep, e.loadedRecord(snap, actor)); err == nil {
			e.swap(keep, snap)
		}
	}); derr != nil {
		return derr
	}
	return err
}

func (e *Engine) swap(keep context.Context, snap *Snapshot) {
	e.snap.Store(snap)
	e.sched.SetMax(snap.MaxConcurrent)
	e.dry.SetMax(snap.MaxConcurrent)
	e.requeue(keep, snap)
	for _, key := range sortedKeys(e.cases) {
		e.forget(key)
	}
	e.refileAll()
	e.rebuildStorm(snap)
	for _, id := range sortedKeys(e.active) {
		if r := e.active[id]; r != nil && r.asking.Load() != nil && !r.began {
			e.reviewAsking(keep, r)
		}
	}
	e.dropUpstreams(keep)
	e.raiseUpstreams(keep)
	e.considerAll(keep, func(ep ledger.Episode) bool { return ep.Open || e.resolutionPending(ep) })
}

// requeue closes what waits for a slot, to be decided anew under the new
// configuration. What a person consented to waits on, if its policy is the same.
func (e *Engine) requeue(ctx context.Context, snap *Snapshot) {
	for _, sched := range []*dispatch.Scheduler{e.sched, e.dry} {
		for _, j := range sched.Queued() {
			r := e.active[j.ID]
			if r == nil {
				sched.Remove(j.ID)
				continue
			}
			rb := snap.Runbooks[r.book.Policy.Name]
			if r.consented() && rb != nil && rb.Hash == r.book.Hash && snap.mode(rb.Policy) == r.mode {
				r.snap, r.book = snap, rb
				continue
			}
			sched.Remove(j.ID)
			e.deactivate(r)
			r.close(ctx, &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "reload", Text: "the configuration was reloaded before it started; it is decided anew"}})
			e.endRuns(ctx, r)
		}
	}
}

// considerAll decides episodes afresh. All are filed before any is decided.
func (e *Engine) considerAll(ctx context.Context, which func(ledger.Episode) bool) {
	var list []ledger.Episode
	for _, ep := range e.ledger.Episodes(false) {
		if which(ep) {
			e.refile(ep)
			list = append(list, ep)
		}
	}
	e.batched(ctx, func() {
		for _, ep := range list {
			if now, ok := e.ledger.Episode(ep.ID); ok {
				e.consider(ctx, now)
			}
		}
	})
}

// Rejected records a configuration that was refused; the one in force stays.
func (e *Engine) Rejected(ctx context.Context, actor, report string) error {
	snap := e.snap.Load()
	return e.journal.Append(ctx, e.stamp(&audit.Record{
		Type: audit.ConfigRejected, Mode: string(snap.Mode), Actor: actor, Error: snap.RedactText(report),
	}, nil, snap))
}
