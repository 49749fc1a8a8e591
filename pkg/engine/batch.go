package engine

import (
	"context"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// batch gathers the refusals of many cases that are decided together into one
// commit: ten thousand alerts of one storm must not be ten thousand commits while
// the loop, and with it every guard, waits. A crash before it is written loses
// nothing: what is not on record as decided is decided again at the next start.
type batch struct {
	recs []*audit.Record
	at   map[string]int // index of the newest record, by case
}

// batched runs fn and writes what it refused in one commit.
func (e *Engine) batched(ctx context.Context, fn func()) {
	if e.batch != nil { // a part of a larger batch
		fn()
		return
	}
	e.batch = &batch{at: map[string]int{}}
	defer func() {
		e.flush(ctx)
		e.batch = nil
	}()
	fn()
}

// flush writes what was gathered: before anything that must come behind it.
func (e *Engine) flush(ctx context.Context) {
	if e.batch == nil || len(e.batch.recs) == 0 {
		return
	}
	recs := e.batch.recs
	e.batch.recs, e.batch.at = nil, map[string]int{}
	if err := e.mustAppend(ctx, recs...); err != nil {
		e.log.Error("decisions not recorded", zap.Int("decisions", len(recs)), zap.Error(err))
	}
}

func (b *batch) has(key string) bool {
	_, ok := b.at[key]
	return ok
}

// repeats says whether a refusal is the one that was gathered last for its case.
func (b *batch) repeats(key string, r *audit.Record) bool {
	i, ok := b.at[key]
	return ok && b.recs[i].Verdict == r.Verdict && b.recs[i].Reason.Code == r.Reason.Code && b.recs[i].Mode == r.Mode
}

func (b *batch) add(key string, r *audit.Record) {
	b.at[key] = len(b.recs)
	b.recs = append(b.recs, r)
}
