package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

const prefixApproval = "0-approval|"

// ApprovalTimeout is how long a request stands where nothing says otherwise: one of
// a guard whose policy has no approval of its own.
const ApprovalTimeout = 30 * time.Minute

// guardApproval is the guard of policies and steps that want consent.
const guardApproval = "approval"

// request is what a run asks a person for. Before the first effect nothing is held
// meanwhile: the run ends this pass, and begins anew once it is granted.
type request struct {
	hash    string
	guards  []string
	step    *int   // nil: the whole plan
	phase   string // of that step
	expires time.Time
}

// stepKey tells steps of different phases apart, which have the same indexes.
type stepKey struct {
	phase string
	index int
}

func (s *Step) key() stepKey { return stepKey{s.Phase, s.Index} }

// consented says whether a person has consented to something that is not done yet.
func (r *run) consented() bool { return r.granted != nil || len(r.stepGrants) > 0 }

// grant is a person's consent.
type grant struct {
	hash  string
	actor string
}

// asks are the guards of a decision that ask for consent.
func (d decision) asks() []string {
	var out []string
	for _, a := range d.Answers {
		if a.Code == policy.CodeApproval {
			out = append(out, a.Guard)
		}
	}
	return out
}

// approved are the guards that a person has satisfied, with who it was.
func (r *run) approved() map[string]string {
	out := map[string]string{}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(out, r.satisfied)
	return out
}

func (r *run) satisfy(guards []string, actor string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.satisfied == nil {
		r.satisfied = map[string]string{}
	}
	for _, g := range guards {
		r.satisfied[g] = strings.TrimPrefix(actor, "user:")
	}
}

// consent asks a person for the plan when a guard wants it. After a grant everything
// was guarded and planned again; a different plan asks again.
func (r *run) consent(ctx context.Context) *ending {
	if r.began || r.resumed {
		return nil
	}
	hash := hashPlans(r.plans)
	if r.granted != nil && r.granted.hash != hash {
		r.log.Info("the plan has changed since it was approved", zap.String("approved", r.granted.hash), zap.String("now", hash))
		guards := union(r.asks, r.grantedFor)
		r.mu.Lock()
		r.satisfied = nil // that was consent to something else
		r.mu.Unlock()
		r.granted, r.grantedFor = nil, nil
		return r.ask(ctx, nil, hash, guards)
	}
	if len(r.asks) == 0 {
		return nil
	}
	return r.ask(ctx, nil, hash, r.asks)
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// consentStep asks for one step that wants consent of its own, for exactly its plan.
// ok: it is granted.
func (r *run) consentStep(ctx context.Context, st *Step, p actions.Plan) (ok bool, end *ending) {
	if !st.Approval.Required {
		return true, nil
	}
	hash := actions.Hash([]actions.Plan{p})
	if g := r.stepGrants[st.key()]; g.hash == hash {
		return true, nil
	}
	r.stepPlans[st.key()] = PlanStep{Step: st.Index, ID: st.ID, Uses: st.Uses(), Targets: p.Targets, Plan: &p, Text: p.Text, Approval: true}
	end = r.ask(ctx, st, hash, []string{guardApproval})
	return false, end
}

// ask records a request for consent. Before the first effect it ends the pass;
// after it the run waits, keeps its locks, and gives nil once it is granted.
func (r *run) ask(ctx context.Context, st *Step, hash string, guards []string) *ending {
	ep, _ := r.episode()
	if r.e.ledger.View(string(r.mode)).ExpiredPlan(r.book.Policy.Name, ep.ID, hash) && !r.began {
		return withdraw(policy.Reasoned(policy.CodeAttempts, "consent to this very plan was asked for in this episode, and the request expired"))
	}
	req := &request{hash: hash, guards: guards, expires: r.e.now().Add(r.approvalTimeout(st))}
	plan := FullPlan{Steps: r.shown(r.plans), Hash: hash}
	text := "the plan"
	if st != nil {
		req.step, req.phase = &st.Index, st.Phase
		plan.Steps = r.shown([]PlanStep{r.stepPlans[st.key()]})
		text = fmt.Sprintf("step %d %s", st.Index, st.Uses())
	}
	rec := r.record(&audit.Record{
		Type: audit.ApprovalRequested, Step: req.step, Plan: audit.JSON(plan), PlanHash: hash, Targets: r.targets,
		Reason: &audit.Reason{Code: string(policy.CodeApproval), Text: fmt.Sprintf("consent to %s is needed (%s) until %s", text, strings.Join(guards, ", "), req.expires.UTC().Format(time.RFC3339))},
		Data:   audit.JSON(ledger.ApprovalData{Guards: guards, Expires: req.expires, Begun: r.began, Phase: req.phase}),
	})
	if err := r.rec.speak(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	r.log.Warn("a person's consent is needed", zap.Strings("guards", guards), zap.String("plan_hash", hash), zap.Time("expires", req.expires))
	r.e.askPeople(ctx, r, ep, fmt.Sprintf("remediation %s asks for consent to %s until %s: remediator approve %s --plan-hash %s",
		r.id, text, req.expires.UTC().Format(time.RFC3339), r.id, hash))
	if !r.began {
		return &ending{asking: req}
	}
	return r.awaitConsent(ctx, st, req)
}

// shown are plans without secrets.
func (r *run) shown(plans []PlanStep) []PlanStep {
	out := make([]PlanStep, 0, len(plans))
	for _, p := range plans {
		p.Text = r.snap.RedactText(p.Text)
		if p.Plan != nil {
			shown := r.snap.RedactPlan(*p.Plan)
			p.Plan = &shown
		}
		out = append(out, p)
	}
	return out
}

func (r *run) approvalTimeout(st *Step) time.Duration {
	switch {
	case st != nil && st.Approval.Timeout > 0:
		return st.Approval.Timeout
	case r.book.Policy.Settings.Approval.Timeout > 0:
		return r.book.Policy.Settings.Approval.Timeout
	default:
		return ApprovalTimeout
	}
}

// awaitConsent waits after the first effect: locks are kept, the deadline stands
// still, and the slot is free for others.
func (r *run) awaitConsent(ctx context.Context, st *Step, req *request) *ending {
	since := r.e.now()
	r.asking.Store(req)
	r.state.Store(stateAsking)
	_ = r.e.do(r.e.reads, func() { r.e.sched.Park(r.id) })
	defer func() {
		r.asking.Store(nil)
		r.state.Store(stateRunning)
		r.waited += r.e.now().Sub(since)
	}()
	expired := time.NewTimer(req.expires.Sub(since))
	defer expired.Stop()
	o, ok := r.order(req, expired.C)
	switch {
	case ok:
	case r.e.isStopping():
		return &ending{left: true}
	default:
		rec := r.record(&audit.Record{Type: audit.ApprovalExpired, Step: req.step, PlanHash: req.hash})
		if err := r.rec.add(ctx, rec); err != nil {
			return r.interrupted(err)
		}
		return &ending{outcome: OutcomeExpired, reason: audit.Reason{Code: "expired", Text: "consent was not given in time, after the first effect"}}
	}
	if o.cancel {
		end := r.rejected(ctx, req, o)
		o.taken <- nil
		return end
	}
	rec := r.record(&audit.Record{Type: audit.ApprovalGranted, Step: req.step, PlanHash: req.hash, Actor: o.actor, Reason: &audit.Reason{Code: "granted", Text: r.snap.RedactText(o.reason)}})
	err := r.rec.add(ctx, rec)
	o.taken <- err // once it is durable: what was answered must not be lost
	if err != nil {
		return r.interrupted(err)
	}
	r.stepGrants[st.key()] = grant{req.hash, o.actor}
	_ = r.e.do(r.e.reads, func() { r.e.sched.Unpark(r.id) })
	return nil
}

func (r *run) rejected(ctx context.Context, req *request, o order) *ending {
	text := "consent was refused by " + o.actor
	if o.reason != "" {
		text += ": " + o.reason
	}
	text = r.snap.RedactText(text)
	rec := r.record(&audit.Record{Type: audit.ApprovalRejected, Step: req.step, PlanHash: req.hash, Actor: o.actor, Reason: &audit.Reason{Code: "rejected", Text: text}})
	if err := r.rec.speak(ctx, rec); err != nil {
		return r.interrupted(err)
	}
	return &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "rejected", Text: text}}
}

// asksNow keeps a run that asks before its first effect: it holds no lock and no
// slot, and other episodes join it. Only the loop calls it.
func (e *Engine) asksNow(r *run, req *request) {
	e.schedOf(r).Release(r.id)
	r.asking.Store(req)
	r.state.Store(stateAsking)
	e.timers.Set(prefixApproval+r.id, req.expires)
}

// endAsking closes a run that asked before its first effect.
func (e *Engine) endAsking(ctx context.Context, r *run, end *ending) {
	e.timers.Delete(prefixApproval + r.id)
	r.asking.Store(nil)
	r.close(ctx, end)
	e.finished(ctx, result{r, end})
}

// releaseAsking withdraws requests whose alert has resolved meanwhile.
func (e *Engine) releaseAsking(ctx context.Context, episode string) {
	for _, id := range sortedKeys(e.active) {
		r := e.active[id]
		if r == nil || r.asking.Load() == nil || r.began || !slices.Contains(r.joined(), episode) {
			continue
		}
		e.reviewAsking(ctx, r)
	}
}

// reviewAsking withdraws a request that the newest configuration or the end of its
// alert has overtaken.
func (e *Engine) reviewAsking(ctx context.Context, r *run) {
	snap := e.snap.Load()
	rb := snap.Runbooks[r.book.Policy.Name]
	_, fires := r.episode()
	switch {
	case e.isStopping():
		e.deactivate(r)
	case !fires:
		e.endAsking(ctx, r, withdraw(policy.Reasoned(policy.CodeResolved, "the alert has resolved before anybody consented")))
	case rb == nil || rb.Hash != r.book.Hash || snap.mode(rb.Policy) != r.mode:
		e.endAsking(ctx, r, &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "reload", Text: "the policy was changed before anybody consented; it is decided anew"}})
	default:
		r.snap, r.book = snap, rb
	}
}

// settleAsking withdraws requests that no guard asks for any more: a container that
// had stopped for an unknown cause runs again, and what is wrong with it now is
// another matter.
func (e *Engine) settleAsking(ctx context.Context) {
	for _, id := range sortedKeys(e.active) {
		r := e.active[id]
		if r == nil {
			continue
		}
		req := r.asking.Load()
		if req == nil || r.began || req.step != nil {
			continue
		}
		ep, _ := r.episode()
		asks := e.decide(r.snap, r.book, ep, r.id, nil).asks()
		if slices.ContainsFunc(req.guards, func(g string) bool { return slices.Contains(asks, g) }) {
			continue
		}
		e.endAsking(ctx, r, &ending{outcome: OutcomeCancelled, reason: audit.Reason{Code: "settled", Text: "what was asked about is settled; it is decided anew"}})
	}
}

// expire ends a request that nobody answered. People are told once; it is not asked
// again in that episode unless the plan differs.
func (e *Engine) expire(ctx context.Context, id string) {
	r := e.active[id]
	if r == nil || r.asking.Load() == nil {
		return
	}
	req := r.asking.Load()
	rec := r.record(&audit.Record{Type: audit.ApprovalExpired, Step: req.step, PlanHash: req.hash})
	if err := e.mustAppend(ctx, rec); err != nil {
		e.log.Error("expiry not recorded", zap.Error(err))
		return
	}
	ep, _ := r.episode()
	e.tell(ctx, r.snap, r.book.Policy, ep, r.id, actions.Message{Text: "nobody consented to remediation " + r.id + " in time; nothing was changed"})
	e.endAsking(ctx, r, &ending{outcome: OutcomeExpired, reason: audit.Reason{Code: "expired", Text: "consent was not given in time"}})
}

// asked finds the run that asks for consent.
func (e *Engine) asked(id string) (*run, *request, error) {
	r := e.active[id]
	if r == nil {
		rem, ok := e.ledger.Remediation(id)
		if !ok {
			return nil, nil, &NotFoundError{ID: id}
		}
		return nil, nil, &StateError{ID: id, State: string(rem.State), Want: string(ledger.AwaitingApproval)}
	}
	req := r.asking.Load()
	if req == nil {
		return nil, nil, &StateError{ID: id, State: r.stateName(), Want: string(ledger.AwaitingApproval)}
	}
	return r, req, nil
}

// Approve grants what a remediation asks for: consent to the plan of that hash. A
// *StateError says that it does not ask, a *PlanChangedError that it asks for
// consent to another plan.
func (e *Engine) Approve(ctx context.Context, id, planHash, actor, reason string) error {
	var r *run
	var req *request
	var begun bool
	var err error
	if derr := e.do(ctx, func() {
		if r, req, err = e.asked(id); err != nil {
			return
		}
		if req.hash != planHash {
			err = &PlanChangedError{ID: id, Want: req.hash, Got: planHash}
			return
		}
		if begun = r.began; begun {
			return
		}
		err = e.granted(context.WithoutCancel(ctx), r, req, actor, reason)
	}); derr != nil {
		return derr
	}
	if err != nil || !begun {
		return err
	}
	return e.pass(ctx, r, order{actor: actor, reason: reason, asked: req})
}

// granted lets a run that asked before its first effect begin anew, from the queue.
func (e *Engine) granted(ctx context.Context, r *run, req *request, actor, reason string) error {
	if e.isStopping() {
		return errStopping
	}
	rec := r.record(&audit.Record{
		Type: audit.ApprovalGranted, Step: req.step, PlanHash: req.hash, Actor: actor,
		Reason: &audit.Reason{Code: "granted", Text: r.snap.RedactText(reason)},
	})
	if err := e.journal.Append(ctx, rec); err != nil {
		return err
	}
	e.timers.Delete(prefixApproval + r.id)
	e.again(r, req, actor)
	return nil
}

// again puts a run whose request was granted back into the queue.
func (e *Engine) again(r *run, req *request, actor string) {
	r.asking.Store(nil)
	r.begin()
	r.take(req, actor)
	r.state.Store(stateQueued)
	e.queue(r)
}

// take notes a person's consent.
func (r *run) take(req *request, actor string) {
	if req.step != nil {
		r.stepGrants[stepKey{req.phase, *req.step}] = grant{req.hash, actor}
		return
	}
	r.satisfy(req.guards, actor)
	r.granted, r.grantedFor = &grant{req.hash, actor}, req.guards
}

const prefixAgain = "0-again|"

// Looking again where a run that a person consented to cannot be judged yet: a status
// page that has not been read since the start, an engine that is away.
const (
	postponeFor  = 5 * time.Second
	postponeMost = 24
)

// postpone keeps a run that a person consented to for a while instead of asking for
// consent again. It says whether it did.
func (e *Engine) postpone(r *run, d decision) bool {
	if !r.consented() || r.postponed >= postponeMost || d.Code != policy.CodeUpstreamUnknown && d.Code != policy.CodeUnconfirmable {
		return false
	}
	r.postponed++
	e.schedOf(r).Release(r.id)
	e.timers.Set(prefixAgain+r.id, e.now().Add(postponeFor))
	return true
}

// Reject refuses consent: the policy is not tried again in the episode.
func (e *Engine) Reject(ctx context.Context, id, actor, reason string) error {
	var r *run
	var req *request
	var begun bool
	var err error
	if derr := e.do(ctx, func() {
		if r, req, err = e.asked(id); err != nil {
			return
		}
		if begun = r.began; begun {
			return
		}
		keep := context.WithoutCancel(ctx)
		e.endAsking(keep, r, r.rejected(keep, req, order{cancel: true, actor: actor, reason: reason}))
	}); derr != nil {
		return derr
	}
	if err != nil || !begun {
		return err
	}
	return e.pass(ctx, r, order{cancel: true, actor: actor, reason: reason, asked: req})
}

// orderBudget is how long a run may take to answer an order. One that has gone on
// meanwhile takes none.
const orderBudget = 5 * time.Second

// pass hands an order to a run that waits for one.
func (e *Engine) pass(ctx context.Context, r *run, o order) error {
	o.taken = make(chan error, 1)
	late := time.NewTimer(orderBudget)
	defer late.Stop()
	select {
	case r.orders <- o:
	case <-late.C:
		return &StateError{ID: r.id, State: r.stateName(), Want: "waiting for an order"}
	case <-ctx.Done():
		return ctx.Err()
	case <-e.loopEnd:
		return errStopping
	}
	select {
	case err := <-o.taken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-e.loopEnd:
		return errStopping
	}
}

// PlanChangedError says that consent was given to another plan than is asked for.
type PlanChangedError struct{ ID, Want, Got string }

// Error names both hashes.
func (e *PlanChangedError) Error() string {
	return "remediation " + e.ID + " asks for consent to plan " + e.Want + ", not to " + e.Got + ": look at the plan again"
}
