package engine

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// Keys of timers. Of two that run down in the same moment the lesser key goes first:
// whether a remediation helped is known before the next one is decided.
const (
	prefixEffect   = "1-effect|"
	prefixCase     = "2-case|"
	timerReconcile = "3-reconcile"
)

// Start records the start, recovers what a crash left, and runs the loop.
func (e *Engine) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.cancel = cancel
	e.reads, e.stopReads = context.WithCancel(run)
	snap := e.snap.Load()
	err := e.journal.Append(ctx, e.stamp(&audit.Record{
		Type: audit.DaemonStarted, Mode: string(snap.Mode), Data: audit.JSON(map[string]any{"version": e.version}),
	}, nil, snap), e.loadedRecord(snap, "system"))
	if err != nil {
		cancel()
		return err
	}
	go e.loop(run)
	return nil
}

// Stop interrupts what runs after its current step and waits, at most until ctx
// ends, for everything to be recorded.
func (e *Engine) Stop(ctx context.Context) error {
	close(e.stopping)
	e.stopReads()
	select {
	case <-e.loopEnd:
	case <-ctx.Done():
		e.cancel()
		return ctx.Err()
	}
	err := e.journal.Append(ctx, e.stamp(&audit.Record{Type: audit.DaemonStopped, Mode: string(e.snap.Load().Mode)}, nil, e.snap.Load()))
	e.cancel()
	return err
}

func (e *Engine) loop(ctx context.Context) {
	defer close(e.loopEnd)
	e.recover(ctx)
	e.timers.Set(timerReconcile, e.now().Add(ReconcileEvery))
	clock := time.NewTimer(0)
	defer clock.Stop()
	stopping := e.stopping
	for {
		e.watchClock(ctx)
		e.startReady(ctx)
		e.publish()
		if stopping == nil && len(e.active) == 0 {
			return
		}
		sleep := time.Minute // a clock that is set back shows at the latest then
		if at, ok := e.timers.Next(); ok {
			sleep = min(max(at.Sub(e.now()), 0), sleep)
		}
		clock.Reset(sleep)
		select {
		case <-ctx.Done():
			return
		case <-stopping:
			stopping = nil
			e.dropQueue(ctx)
		case <-e.wake:
			e.intake(ctx)
		case <-e.world:
			e.liftSoon(ofWorld...)
			e.settleAsking(ctx)
		case fn := <-e.commands:
			fn()
		case res := <-e.done:
			e.finished(ctx, res)
		case <-clock.C:
			e.due(ctx)
		}
	}
}

// watchClock notices that the clock was set back: what waits for a time waits as
// long as it would have, and everything is decided again (design §5, store trouble).
func (e *Engine) watchClock(ctx context.Context) {
	now := e.now()
	if back := e.newest.Sub(now); back > time.Second {
		e.log.Warn("the clock was set back", zap.Duration("by", back))
		e.timers.Shift(-back)
		for key, last := range e.ended {
			last.at = last.at.Add(-back)
			e.ended[key] = last
		}
		for c, since := range e.waits.since {
			e.waits.since[c] = since.Add(-back)
		}
		e.ledger.Clock(now)
		e.newest = now
		e.reconsider(ctx, true)
	}
	if now.After(e.newest) {
		e.newest = now
	}
}

func (e *Engine) isStopping() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

// due handles the timers that have run down.
func (e *Engine) due(ctx context.Context) {
	for _, key := range e.timers.Due(e.now()) {
		switch {
		case key == timerReconcile:
			e.reconcile(ctx)
			e.lift(ctx, byEvent...) // an event may have been missed
			e.settleAsking(ctx)
			e.raiseUpstreams(ctx)
			e.timers.Set(timerReconcile, e.now().Add(ReconcileEvery))
		case strings.HasPrefix(key, prefixCase):
			if c, ok := e.cases[key]; ok {
				e.evaluate(ctx, c)
			}
		case strings.HasPrefix(key, prefixAgain):
			if r := e.active[strings.TrimPrefix(key, prefixAgain)]; r != nil && !e.isStopping() {
				e.queue(r)
			}
		case strings.HasPrefix(key, prefixApproval):
			e.expire(ctx, strings.TrimPrefix(key, prefixApproval))
		case strings.HasPrefix(key, prefixLift):
			e.lift(ctx, policy.Code(strings.TrimPrefix(key, prefixLift)))
		case strings.HasPrefix(key, prefixLasting):
			e.lasting(ctx, policy.Code(strings.TrimPrefix(key, prefixLasting)))
		case strings.HasPrefix(key, prefixEffect):
			e.judgeEffect(ctx, strings.TrimPrefix(key, prefixEffect), true)
		}
	}
}

// do runs fn in the loop and waits for it.
func (e *Engine) do(ctx context.Context, fn func()) error {
	ran := make(chan struct{})
	select {
	case e.commands <- func() { fn(); close(ran) }:
	case <-e.loopEnd:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startReady starts queued remediations for which a slot and all locks are free.
// The guards are asked again: what was allowed when it was queued may not be now.
func (e *Engine) startReady(ctx context.Context) {
	for !e.isStopping() {
		job, ok := e.sched.Next()
		if !ok {
			if job, ok = e.dry.Next(); !ok {
				return
			}
		}
		r := e.active[job.ID]
		d := e.decideFor(r)
		if !d.starts() && e.postpone(r, d) {
			continue
		}
		if !d.starts() {
			e.log.Info("not started after all", append(r.fields(), zap.String("reason", d.Text))...)
			e.withdrawQueued(ctx, r, d.Decision)
			continue
		}
		r.asks = d.asks()
		if r.granted != nil || len(r.stepGrants) > 0 {
			ep, _ := r.episode()
			e.record(ctx, r.snap, r.book.Policy, ep, d, r.id)
		}
		e.runs.Add(1)
		r.state.Store(stateRunning)
		go func() {
			defer e.runs.Done()
			res := r.execute(ctx)
			select {
			case e.done <- res:
			case <-e.loopEnd:
			}
		}()
	}
}
