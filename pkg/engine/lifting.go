package engine

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
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
	policy.CodePaused, policy.CodeUnconfirmable,
}

// ofWorld are those that a change of services may lift.
var ofWorld = []policy.Code{
	policy.CodeDependency, policy.CodeStoppedByPerson, policy.CodeBlastRadius, policy.CodeTargetNotFound, policy.CodeUnconfirmable,
}

// waits files waiting cases under the code that they wait for. Only the loop uses it.
type waits struct {
	byCode map[policy.Code]map[string]bool
	codes  map[string][]policy.Code
	since  map[policy.Code]time.Time // blast radius and storm: since when
	told   map[policy.Code]bool
}

func newWaits() *waits {
	return &waits{
		byCode: map[policy.Code]map[string]bool{}, codes: map[string][]policy.Code{},
		since: map[policy.Code]time.Time{}, told: map[policy.Code]bool{},
	}
}

func (w *waits) add(key string, codes ...policy.Code) {
	w.drop(key)
	for _, c := range codes {
		if w.byCode[c] == nil {
			w.byCode[c] = map[string]bool{}
		}
		w.byCode[c][key] = true
	}
	w.codes[key] = codes
}

// drop takes a case out and gives what it waited for.
func (w *waits) drop(key string) []policy.Code {
	codes := w.codes[key]
	delete(w.codes, key)
	for _, c := range codes {
		delete(w.byCode[c], key)
	}
	return codes
}

// lifted ends the clock of brakes that nothing waits for any more.
func (w *waits) lifted(codes []policy.Code) {
	for _, c := range codes {
		if len(w.byCode[c]) == 0 {
			delete(w.since, c)
			delete(w.told, c)
		}
	}
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
	since, rages := e.waits.since[c]
	if len(keys) == 0 || !rages {
		e.waits.lifted([]policy.Code{c})
		return
	}
	if over := since.Add(LastsFor); over.After(e.now()) { // it lifted, and began anew
		e.timers.Set(prefixLasting+string(c), over)
		return
	}
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
		e.waits.told[c] = true
		e.log.Warn("a brake lasts", zap.String("reason", string(c)), zap.Int("waiting", len(keys)))
		e.tell(ctx, snap, rb.Policy, ep, "", actions.Message{Text: fmt.Sprintf("the brake %s holds up remediation since %s; %d alerts wait for it",
			c, since.UTC().Format("15:04:05Z"), len(keys))})
		return
	}
}
