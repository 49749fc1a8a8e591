package engine

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/policy"
)

// LastsFor is how long the brake of blast radius or storm may last before people
// are told, once (design §5, deciding again).
const LastsFor = 10 * time.Minute

const (
	prefixLasting = "4-lasting|"
	prefixLift    = "5-lift|"
)

// liftAfter gathers events that come in bursts (a notification of a hundred alerts,
// a restarted engine) into one look at what waits for them.
const liftAfter = 100 * time.Millisecond

// byEvent are the codes that an event lifts rather than time. They are looked at
// again with each reconciliation as well: an event may be missed.
var byEvent = []policy.Code{
	policy.CodeUpstreamIncident, policy.CodeUpstreamUnknown, policy.CodeAlertFiring, policy.CodePolicyRunning, policy.CodeDependency,
	policy.CodeStoppedByPerson, policy.CodeBlastRadius, policy.CodeBreakerOpen, policy.CodeQuarantined, policy.CodeSelf,
}

// ofWorld are those that a change of services may lift.
var ofWorld = []policy.Code{
	policy.CodeDependency, policy.CodeStoppedByPerson, policy.CodeBlastRadius, policy.CodeTargetNotFound,
}

// waits files waiting cases under the code that they wait for. Only the loop uses it.
type waits struct {
	byCode map[policy.Code]map[string]bool
	code   map[string]policy.Code
	since  map[policy.Code]time.Time // blast radius and storm: since when
	told   map[policy.Code]bool
}

func newWaits() *waits {
	return &waits{
		byCode: map[policy.Code]map[string]bool{}, code: map[string]policy.Code{},
		since: map[policy.Code]time.Time{}, told: map[policy.Code]bool{},
	}
}

func (w *waits) add(c policy.Code, key string) {
	w.drop(key)
	if w.byCode[c] == nil {
		w.byCode[c] = map[string]bool{}
	}
	w.byCode[c][key], w.code[key] = true, c
}

func (w *waits) drop(key string) {
	c, ok := w.code[key]
	if !ok {
		return
	}
	delete(w.code, key)
	delete(w.byCode[c], key)
}

// lift decides the cases again that wait for one of the codes.
func (e *Engine) lift(ctx context.Context, codes ...policy.Code) {
	e.batched(ctx, func() {
		for _, c := range codes {
			for _, key := range sortedKeys(e.waits.byCode[c]) {
				if id, ok := e.cases[key]; ok {
					e.evaluate(ctx, id)
				}
			}
		}
	})
}

// liftSoon does the same a moment later, once for all events until then.
func (e *Engine) liftSoon(codes ...policy.Code) {
	for _, c := range codes {
		key := prefixLift + string(c)
		if _, set := e.timers.At(key); !set && len(e.waits.byCode[c]) > 0 {
			e.timers.Set(key, e.now().Add(liftAfter))
		}
	}
}

// lasts starts the clock of a brake that holds up everything.
func (e *Engine) lasts(c policy.Code) {
	if c != policy.CodeBlastRadius && c != policy.CodeStorm {
		return
	}
	if _, ok := e.waits.since[c]; !ok {
		e.waits.since[c] = e.now()
		e.timers.Set(prefixLasting+string(c), e.now().Add(LastsFor))
	}
}

// lasting tells people, once, of a brake that has lasted too long. Its clock runs on
// while cases wait for it; without any it ends.
func (e *Engine) lasting(ctx context.Context, c policy.Code) {
	keys := sortedKeys(e.waits.byCode[c])
	if len(keys) == 0 {
		delete(e.waits.since, c)
		delete(e.waits.told, c)
		return
	}
	e.timers.Set(prefixLasting+string(c), e.now().Add(time.Minute))
	if e.waits.told[c] {
		return
	}
	snap := e.snap.Load()
	for _, key := range keys {
		id := e.cases[key]
		rb := snap.Runbooks[id.policy]
		ep, ok := e.ledger.Episode(id.episode)
		if rb == nil || !ok || snap.mode(rb.Policy) == policy.DryRun {
			continue
		}
		last := ep.Decided[id.policy]
		e.waits.told[c] = true
		e.log.Warn("a brake lasts", zap.String("reason", string(c)), zap.Int("waiting", len(keys)))
		e.escalate(ctx, snap, rb.Policy, ep, "", "the brake "+string(c)+" has held remediation up for "+e.now().Sub(e.waits.since[c]).Round(time.Second).String()+" (since "+last.Time.UTC().Format("15:04:05Z")+")")
		return
	}
}
