package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/policy"
)

// confirm proves that the symptom is real, right before acting (design §2.3).
func (r *run) confirm(ctx context.Context) *ending {
	if r.began { // found after a crash, and resumed: the first effects may have helped already
		return nil
	}
	for _, st := range r.book.Confirm {
		if end := r.between(); end != nil {
			return end
		}
		if answer, _ := st.If.eval(r.scope()); st.If != nil && answer == no {
			continue
		}
		res, err := r.check(ctx, st)
		if err != nil {
			return r.interrupted(err)
		}
		switch {
		case res.Unknown:
			return withdraw(policy.Reasoned(policy.CodeUnconfirmable, fmt.Sprintf("%s: %s", st.Uses(), res.Text)))
		case !res.OK:
			return withdraw(policy.Reasoned(policy.CodeNotConfirmed, fmt.Sprintf("the symptom is not there: %s: %s", st.Uses(), res.Text)))
		}
	}
	return nil
}

// Uses is the step's kind.
func (s *Step) Uses() string { return s.Kind.Name }

// verify asks the world whether it helped. Unknown is failed.
func (r *run) verify(ctx context.Context) *ending {
	failed := ""
	counted := 0
	for _, st := range r.book.Verify {
		if end := r.between(); end != nil {
			return end
		}
		if r.skippedTarget(st) {
			continue
		}
		res, err := r.check(ctx, st)
		if err != nil {
			return r.interrupted(err)
		}
		counted++
		if !res.OK || res.Unknown {
			failed = fmt.Sprintf("%s: %s", st.Uses(), res.Text)
			break
		}
	}
	if len(r.book.Verify) > 0 {
		text := fmt.Sprintf("%d checks are ok", counted)
		if failed != "" {
			text = failed
		}
		err := r.rec.add(ctx, r.record(&audit.Record{
			Type: audit.RemediationVerified, Targets: r.targets,
			Result: audit.JSON(map[string]any{"ok": failed == "", "text": text, "checks": counted}),
		}))
		if err != nil {
			return r.interrupted(err)
		}
	}
	if failed != "" {
		return &ending{outcome: OutcomeFailed, reason: audit.Reason{Code: "not_verified", Text: failed}}
	}
	return nil
}

// skippedTarget: a verify check of a service whose step a guard skipped says
// nothing about what was done.
func (r *run) skippedTarget(st *Step) bool {
	t, err := st.Run.Targets(r.scope())
	if err != nil || len(t.Names) == 0 {
		return false
	}
	for _, name := range t.Names {
		if !r.skipped[name] || r.touched[name] {
			return false
		}
	}
	return true
}

// interrupted ends a run whose records cannot be written or whose daemon stops.
func (r *run) interrupted(err error) *ending {
	if end := r.stopped(); end != nil {
		return end
	}
	return &ending{outcome: OutcomeInterrupted, err: err.Error(), reason: audit.Reason{Code: "interrupted", Text: "the audit store took no records"}}
}

// check runs a check as its `expect` and `within` say and records the result. The
// error is only ever that of the record.
func (r *run) check(ctx context.Context, st *Step) (actions.Result, error) {
	start := r.e.now()
	res, tries := r.look(st)
	if end := r.stopped(); end != nil { // what a cut-off check says means nothing
		return res, errStopping
	}
	if st.ExpectFailure && !res.Unknown {
		res.OK = !res.OK
	}
	res = r.snap.Redact(res)
	r.keep(st, res)
	if r.fixed != nil {
		r.looked = append(r.looked, CheckLine{Phase: st.Phase, Step: st.Index, ID: st.ID, Uses: st.Uses(), Result: res})
	}
	took := r.e.now().Sub(start)
	r.e.metrics.Step(st.Uses(), checkOutcome(res), took)
	r.log.Info("check", zap.String("phase", st.Phase), zap.Int("step", st.Index), zap.String("uses", st.Uses()),
		zap.String("result", checkOutcome(res)), zap.String("text", res.Text), zap.Duration("took", took))
	rec := r.record(&audit.Record{
		Type: audit.CheckFinished, Step: &st.Index, Uses: st.Uses(), Result: audit.JSON(res), DurationMS: took.Milliseconds(),
		Data: audit.JSON(ledger.StepData{Phase: st.Phase, ID: st.ID, Attempts: tries}),
	})
	return res, r.rec.add(ctx, rec)
}

func checkOutcome(res actions.Result) string {
	switch {
	case res.Unknown:
		return "unknown"
	case res.OK:
		return "ok"
	default:
		return "not_ok"
	}
}

func (r *run) keep(st *Step, res actions.Result) {
	if st.ID != "" {
		r.results[st.ID] = res
	}
	if st.Phase == PhaseSteps {
		r.ran[st.Index] = true
	}
}

// look asks once, or until the answer is as expected within the step's time.
func (r *run) look(st *Step) (actions.Result, int) {
	if st.Within <= 0 {
		return r.once(r.reads(), st), 1
	}
	ctx, cancel := context.WithTimeout(r.reads(), st.Within)
	defer cancel()
	if w, ok := st.Run.(actions.Waiter); ok {
		return protect(func() actions.Result { return w.Await(ctx, r.scope(), !st.ExpectFailure) }), 1
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 250*time.Millisecond, 5*time.Second
	for n := 1; ; n++ {
		res := r.once(ctx, st)
		if !res.Unknown && res.OK != st.ExpectFailure {
			return res, n
		}
		select {
		case <-ctx.Done():
			return res, n
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (r *run) once(ctx context.Context, st *Step) actions.Result {
	ctx, cancel := context.WithTimeout(ctx, st.timeout())
	defer cancel()
	s := r.scope()
	return protect(func() actions.Result {
		switch c := st.Run.(type) {
		case actions.Check:
			return c.Check(ctx, s)
		case actions.Gatherer:
			return c.Gather(ctx, s)
		default:
			return actions.Result{Unknown: true, Text: fmt.Sprintf("%s is not a check", st.Uses())}
		}
	})
}

// protect turns a panic of a step into an unknown result, with its trace.
func protect(fn func() actions.Result) (res actions.Result) {
	defer func() {
		if p := recover(); p != nil {
			res = actions.Result{Unknown: true, Text: fmt.Sprintf("panic: %v", p), Outputs: map[string]any{"trace": string(debug.Stack())}}
		}
	}()
	return fn()
}
