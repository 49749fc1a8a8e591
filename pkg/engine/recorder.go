package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// recorder writes a remediation's records. While quiet it keeps them: a case that
// is tried again and comes to the same end leaves no second trace.
type recorder struct {
	e  *Engine
	mu sync.Mutex // guards the rest

	quiet   bool // until the first speak has succeeded
	discard bool // plan: nothing is recorded at all
	kept    []*audit.Record
}

// add records, or keeps while quiet. It returns only when the record is durable,
// or with an error when ctx ended.
func (r *recorder) add(ctx context.Context, recs ...*audit.Record) error {
	r.mu.Lock()
	if r.discard {
		r.mu.Unlock()
		return nil
	}
	if r.quiet {
		r.kept = append(r.kept, recs...)
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	return r.e.mustAppend(ctx, recs...)
}

// speak ends the quiet: what was kept is recorded, in its order, with more behind
// it. When ctx ends first nothing is lost: it is kept for the next call, all but
// more. The lock is not held while the store is waited for: what others add
// meanwhile is kept, and recorded behind.
func (r *recorder) speak(ctx context.Context, more ...*audit.Record) error {
	for {
		r.mu.Lock()
		kept := r.kept
		if r.discard || len(kept) == 0 && len(more) == 0 {
			r.quiet = false
			r.mu.Unlock()
			return nil
		}
		r.kept, r.quiet = nil, true
		r.mu.Unlock()
		if err := r.e.mustAppend(ctx, append(slices.Clone(kept), more...)...); err != nil {
			r.mu.Lock()
			r.kept = append(kept, r.kept...)
			r.mu.Unlock()
			return err
		}
		more = nil
	}
}

// silent says whether nothing has been recorded yet.
func (r *recorder) silent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.quiet
}

// drop forgets what was kept.
func (r *recorder) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = nil
}
