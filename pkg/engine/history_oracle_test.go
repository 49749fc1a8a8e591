package engine

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// oracle judges each decision and each effect of a history by the records before it
// and by how the world was, independently of the guards: it shares no code with them.
type oracle struct {
	h    *history
	t    *verdicts
	book map[string]*policy.Policy

	cancelled map[string]bool // intents that never happened
	acts      map[string]bool // remediations that have an effect
	starts    map[string]bool // remediations that were taken out of the queue
	open      map[string]audit.Record
	first     map[string]audit.Record   // first alert.firing of an episode
	openings  map[string][]time.Time    // by fingerprint
	newcomers []time.Time               // new episodes that some policy matches
	rems      map[string]*oracleRun     // by id
	order     []*oracleRun              // as they were opened
	results   map[string][]oracleResult // by policy
	quarant   map[string]bool
	pauses    map[string]ledger.PauseData
	up        []oracleUp
	trouble   bool              // the upstream was in trouble when last heard of
	over      time.Time         // when its last trouble ended
	effects   map[string][]span // by target
}

type oracleUp struct {
	at time.Time
	c  upstream.Change
}

type oracleResult struct {
	at     time.Time
	rem    string
	failed bool
}

type oracleRun struct {
	id, policy, mode string
	targets, members []string
	began, held      bool
	closed           bool
	closedAt         time.Time
	outcome          string
	touched          map[string]time.Time // last end of an effect
	locked           bool
	granted          []string // hashes
	consent          bool     // any grant, or a person resumed it
	over             bool     // rejected or expired
	pendingEffect    bool
}

func (h *history) oracles() {
	o := &oracle{
		h: h, t: h.t, effects: map[string][]span{}, acts: map[string]bool{}, starts: map[string]bool{}, book: map[string]*policy.Policy{}, cancelled: map[string]bool{}, open: map[string]audit.Record{},
		first: map[string]audit.Record{}, openings: map[string][]time.Time{}, rems: map[string]*oracleRun{},
		results: map[string][]oracleResult{}, quarant: map[string]bool{}, pauses: map[string]ledger.PauseData{},
	}
	for _, b := range h.books {
		o.book[b.Policy.Name] = b.Policy
	}
	all := h.journal.all()
	for _, r := range all {
		if r.Type == audit.StepFinished && stepData(r).Cancelled {
			o.cancelled[intentKey(r)] = true
		}
	}
	for _, r := range all {
		switch {
		case r.Type == audit.StepStarted && !o.cancelled[intentKey(r)]:
			o.acts[r.Remediation] = true
		case r.Type == audit.CheckFinished:
			o.starts[r.Remediation] = true
		}
	}
	for _, r := range all {
		o.take(r)
	}
}

func stepData(r audit.Record) (d ledger.StepData) {
	_ = json.Unmarshal(r.Data, &d)
	return d
}

func intentKey(r audit.Record) string {
	return r.Remediation + " " + stepData(r).Phase + " " + string(rune('0'+*r.Step))
}

func (o *oracle) take(r audit.Record) {
	at := r.Time.Time
	run := o.rems[r.Remediation]
	switch r.Type {
	case audit.AlertFiring:
		o.fires(r)
	case audit.AlertResolved:
		delete(o.open, r.Episode)
	case audit.UpstreamChanged:
		var c upstream.Change
		_ = json.Unmarshal(r.Data, &c)
		o.up = append(o.up, oracleUp{at, c})
		switch {
		case c.State.Bad():
			o.trouble, o.over = true, time.Time{}
		case c.State == upstream.Operational && o.trouble:
			o.trouble, o.over = false, at
			if lag := at.Sub(c.Ended); lag > 0 && lag < 90*time.Second { // the store was away
				o.over = c.Ended
			}
		}
	case audit.ControlPaused, audit.ControlResumed:
		o.control(r, run)
	case audit.ControlCleared:
		delete(o.quarant, r.Target)
	case audit.RemediationDecided:
		o.decided(r, run)
	case audit.CheckFinished, audit.StepPlanned, audit.StepSkipped:
		if run != nil {
			run.locked = true
		}
	case audit.ApprovalRequested:
		run.locked = run.began
	case audit.ApprovalGranted:
		run.granted, run.consent = append(run.granted, r.PlanHash), true
	case audit.ApprovalRejected, audit.ApprovalExpired:
		run.over = true
	case audit.StepStarted:
		o.effect(r, run)
		run.locked = true
		if !o.cancelled[intentKey(r)] {
			run.began = true
			run.touched[r.Target] = at
			o.effects[r.Target] = append(o.effects[r.Target], span{from: at, to: at})
		}
	case audit.StepFinished:
		if _, ok := run.touched[r.Target]; ok && !stepData(r).Cancelled {
			run.touched[r.Target] = at
			last := o.effects[r.Target]
			if last[len(last)-1].to = at; stepData(r).Lost { // nobody saw how long it took
				last[len(last)-1].to = last[len(last)-1].from.Add(45 * time.Second)
			}
		}
	case audit.RemediationHeld:
		run.held = true
	case audit.RemediationClosed:
		o.closed(r, run)
	case audit.RemediationEffect:
		if r.Effect == EffectIneffective && slices.Contains([]string{OutcomeSucceeded, OutcomeUnverified}, run.outcome) {
			o.results[run.policy] = append(o.results[run.policy], oracleResult{at, run.id, true})
		} else if run.pendingEffect {
			o.results[run.policy] = append(o.results[run.policy], oracleResult{at, run.id, false})
		}
		run.pendingEffect = false
	default:
	}
}

func (o *oracle) fires(r audit.Record) {
	var d ledger.AlertData
	_ = json.Unmarshal(r.Data, &d)
	_, was := o.open[r.Episode]
	if !was && d.Cause != ledger.CauseMoved {
		fp := alert.Fingerprint(*r.Alert)
		o.openings[fp] = append(o.openings[fp], r.Time.Time)
	}
	if _, known := o.first[r.Episode]; !known {
		o.first[r.Episode] = r
		if d.Origin == ledger.OriginWebhook {
			o.newcomers = append(o.newcomers, r.Time.Time)
		}
	}
	o.open[r.Episode] = r
}

func (o *oracle) control(r audit.Record, run *oracleRun) {
	if run != nil {
		run.held, run.consent = false, true
		return
	}
	var d ledger.PauseData
	_ = json.Unmarshal(r.Data, &d)
	delete(o.pauses, d.Scope)
	if r.Type == audit.ControlPaused {
		o.pauses[d.Scope] = d
	}
}

func (o *oracle) closed(r audit.Record, run *oracleRun) {
	var d ledger.ClosedData
	_ = json.Unmarshal(r.Data, &d)
	run.closed, run.closedAt, run.outcome = true, r.Time.Time, r.Outcome
	if run.mode != ledger.Live {
		return
	}
	switch {
	case !run.began: // nothing was changed
	case r.Outcome == OutcomeFailed, r.Outcome == OutcomeInterrupted && !d.Shutdown:
		o.results[run.policy] = append(o.results[run.policy], oracleResult{r.Time.Time, run.id, true})
	case r.Outcome == OutcomeSucceeded || r.Outcome == OutcomeUnverified:
		run.pendingEffect = run.began
	}
	p := o.book[run.policy]
	if p.HoldOnFailure && run.began && slices.Contains([]string{OutcomeFailed, OutcomeInterrupted, OutcomeCancelled, OutcomeExpired}, r.Outcome) {
		for _, t := range run.targets {
			o.quarant[t] = true
		}
	}
}

// decided judges a decision that lets work begin.
func (o *oracle) decided(r audit.Record, run *oracleRun) {
	if r.Remediation == "" {
		return
	}
	if run != nil {
		if r.Reason.Code == string(policy.CodeJoined) {
			run.members = append(run.members, r.Episode)
		}
		if r.Verdict != string(policy.Execute) {
			return
		}
	} else {
		for _, other := range o.order {
			same := !other.closed && other.policy == r.Policy && other.mode == r.Mode
			require.False(o.t, same && slices.Contains(other.members, r.Episode), "duplicate: %s and %s both handle %s", r.Remediation, other.id, r.Episode)
			require.False(o.t, same && slices.Equal(other.targets, r.Targets), "duplicate: %s and %s are the same work", r.Remediation, other.id)
		}
		run = &oracleRun{id: r.Remediation, policy: r.Policy, mode: r.Mode, targets: r.Targets, members: []string{r.Episode}, touched: map[string]time.Time{}}
		o.rems[run.id] = run
		o.order = append(o.order, run)
	}
	for _, other := range o.order {
		overlap := o.starts[run.id] && other != run && !other.closed && other.locked && slices.ContainsFunc(run.targets, func(t string) bool { return slices.Contains(other.targets, t) })
		require.False(o.t, overlap, "target_busy: %s begins while %s works on %v", run.id, other.id, other.targets)
	}
	if !o.acts[run.id] {
		return // a quiet repetition is recorded late, when it comes to something
	}
	at, p := r.Time.Time, o.book[r.Policy]
	ep, firing := o.open[r.Episode]
	first := o.first[r.Episode]
	var d ledger.AlertData
	_ = json.Unmarshal(first.Data, &d)
	if p.On == policy.OnFiring && d.Origin != ledger.OriginRun && firing { // else it is for one that joined
		require.LessOrEqual(o.t, first.Time.Sub(first.Alert.StartsAt), p.Settings.MaxAlertAge, "stale: %s begins for an old alert", run.id)
		require.False(o.t, at.Before(ep.Alert.StartsAt.Add(p.Settings.For)), "for: %s begins too early", run.id)
		if d.Origin == ledger.OriginWebhook {
			require.False(o.t, o.flaps(alert.Fingerprint(*r.Alert), at), "flap: %s begins for an alert that flaps", run.id)
			require.False(o.t, p.Severity != "P1" && o.storms(at), "storm: %s begins in a storm", run.id)
		}
	}
	muted := len(p.Settings.Mute) > 0 && at.UTC().Minute() < muteMinutes
	require.False(o.t, muted, "time_interval: %s begins in a muted interval", run.id)
	o.noBreaker(run, at, p)
	o.noBlast(run, at)
	for _, other := range o.order {
		won := other != run && other.policy == run.policy && other.mode == ledger.Live && other.closed &&
			slices.Contains([]string{OutcomeSucceeded, OutcomeUnverified, OutcomePartial}, other.outcome) && at.Sub(other.closedAt) < p.Settings.Settle
		for t := range other.touched {
			require.False(o.t, won && slices.Contains(run.targets, t), "settle: %s begins after %s succeeded on %s", run.id, other.id, t)
		}
	}
}

func (o *oracle) flaps(fp string, now time.Time) bool {
	flapping := false
	times := o.openings[fp]
	for i, t := range times {
		n := 0
		for _, u := range times[:i+1] {
			if u.After(t.Add(-flapRule.Within)) {
				n++
			}
		}
		stays := flapping && t.Sub(times[i-1]) < flapRule.Clear
		flapping = n >= flapRule.Changes || stays
	}
	return flapping && now.Before(times[len(times)-1].Add(flapRule.Clear))
}

func (o *oracle) storms(now time.Time) bool {
	for i, t := range o.newcomers {
		n := 0
		for _, u := range o.newcomers[:i+1] {
			if u.After(t.Add(-stormRule.Within)) {
				n++
			}
		}
		if n >= stormRule.Episodes && now.Before(t.Add(stormRule.Clear)) {
			return true
		}
	}
	return false
}

func (o *oracle) noBreaker(run *oracleRun, at time.Time, p *policy.Policy) {
	if run.mode != ledger.Live || p.Settings.Breaker.Failures == 0 {
		return
	}
	n := 0
	var last time.Time
	counted := map[string]bool{}
	for _, res := range o.results[p.Name] {
		switch {
		case !res.failed:
			n = 0
		case !counted[res.rem]:
			n, last, counted[res.rem] = n+1, res.at, true
		}
	}
	if n >= p.Settings.Breaker.Failures {
		require.False(o.t, at.Before(last.Add(p.Settings.Breaker.OpenFor)), "breaker: %s begins after %d failures", run.id, n)
	}
}

// noBlast counts unhealthy root causes that have nothing to do with the run.
func (o *oracle) noBlast(run *oracleRun, at time.Time) {
	if !o.h.w.sky.steady(at) {
		return
	}
	bad := func(name string) bool {
		s := o.h.w.sky.before(at, name)
		return s.State == services.Unhealthy || s.State == services.Stopped && !slices.ContainsFunc(s.Stops, func(s services.Stop) bool { return s.Cause == services.ByKill })
	}
	stopped := func(name string) bool {
		s := o.h.w.sky.before(at, name).State
		return s == services.Unhealthy || s == services.Stopped || s == services.Missing
	}
	n := 0
	for _, name := range serviceNames {
		below := slices.ContainsFunc(dependencies[name], func(d services.Dependency) bool { return stopped(d.Target) })
		if bad(name) && !below && !slices.Contains(run.targets, name) {
			n++
		}
	}
	require.LessOrEqual(o.t, n, maxUnhealthy, "blast_radius: %s begins while %d others are unhealthy", run.id, n)
}

// effect judges an intent that was carried out.
func (o *oracle) effect(r audit.Record, run *oracleRun) {
	if o.cancelled[intentKey(r)] {
		return
	}
	at, p := r.Time.Time, o.book[r.Policy]
	require.NotEqual(o.t, "me", r.Target, "self: an effect on remediator itself")
	require.False(o.t, o.quarant[r.Target], "quarantine: an effect on %s", r.Target)
	require.False(o.t, run.over && len(run.granted) == 0, "approval: an effect after a refusal")
	if p.On == policy.OnResolved && !run.began {
		fp := alert.Fingerprint(*o.first[run.members[0]].Alert)
		for id, a := range o.open {
			require.NotEqual(o.t, fp, alert.Fingerprint(*a.Alert), "resolved: an effect on recovery while %s fires", id)
		}
	}
	if p.Settings.Approval.Required {
		require.NotEmpty(o.t, run.granted, "approval: an effect that nobody consented to")
	}
	for _, scope := range []string{"policy:" + r.Policy, "target:" + r.Target} {
		d, paused := o.pauses[scope]
		require.False(o.t, paused && (d.Until.IsZero() || at.Before(d.Until)), "paused: an effect in the pause of %s", scope)
	}
	for _, other := range o.order {
		if end, ok := other.touched[r.Target]; ok && other != run && !slices.Contains(keysOf(run.touched), r.Target) {
			require.GreaterOrEqual(o.t, at.Sub(end), p.Settings.Cooldown, "cooldown: %s acts on %s %s after %s", run.id, r.Target, at.Sub(end), other.id)
		}
	}
	for _, d := range dependencies[r.Target] {
		if slices.Contains(run.targets, d.Target) {
			continue
		}
		state := o.h.w.sky.before(at, d.Target).State
		sick := slices.Contains([]services.State{services.Unhealthy, services.Stopped, services.Starting}, state)
		require.False(o.t, sick && o.h.w.sky.steady(at), "dependency: an effect on %s while %s is %s", r.Target, d.Target, state)
	}
	o.noOverride(r, run)
	o.noUpstream(r, run)
}

func keysOf(m map[string]time.Time) []string { return sortedKeys(m) }

func (o *oracle) noOverride(r audit.Record, run *oracleRun) {
	at := r.Time.Time
	if !o.h.w.sky.steady(at) {
		return
	}
	for _, s := range o.h.w.sky.before(at, r.Target).Stops {
		if o.ours(r.Target, s.At) {
			continue
		}
		require.NotEqual(o.t, services.ByKill, s.Cause, "human_override: %s was stopped by a person", r.Target)
		require.False(o.t, s.Cause == services.ByUnknown && !run.consent, "human_override: nobody consented to start %s", r.Target)
	}
}

// ours says whether a stop came while an effect of ours on the target was under way,
// or a few seconds after: then nobody can tell whose it was.
func (o *oracle) ours(target string, at time.Time) bool {
	for _, s := range o.effects[target] {
		if !at.Before(s.from.Add(-time.Second)) && !at.After(s.to.Add(5*time.Second)) {
			return true
		}
	}
	return false
}

func (o *oracle) noUpstream(r audit.Record, run *oracleRun) {
	at := r.Time.Time
	firstOfSup := run.policy == "p-Sup" && !run.began
	if r.Target != "indexer" && !firstOfSup {
		return
	}
	what := "guardrails"
	if firstOfSup {
		what = "suppress_while"
		for id, a := range o.open {
			require.False(o.t, id != r.Episode && a.Alert.Labels["alertname"] == "Db", "suppress_while: an effect while Db fires")
		}
		for _, other := range o.order {
			under := other.policy == "p-Db" && other.mode == ledger.Live && !other.closed && other.locked
			require.False(o.t, under, "suppress_while: an effect while p-Db runs")
		}
	}
	require.False(o.t, o.h.w.sky.badPage(at), "%s: an effect on %s while the page reports trouble", what, r.Target)
	if len(o.up) == 0 {
		return
	}
	last := o.up[len(o.up)-1]
	require.False(o.t, last.c.State.Bad() && last.at.Before(at), "%s: an effect on %s in a known incident", what, r.Target)
	require.False(o.t, !o.over.IsZero() && at.Before(o.over.Add(stellar.ResumeAfter)), "%s: an effect on %s right after an incident", what, r.Target)
	require.False(o.t, last.c.State == upstream.Unknown && !run.consent, "%s: an effect on %s while the page is unknown", what, r.Target)
}
