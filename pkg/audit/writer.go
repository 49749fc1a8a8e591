package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.done)
	for range l.kick {
		for batch := l.take(); len(batch) > 0; batch = l.take() {
			l.commit(batch)
		}
		l.mu.Lock()
		over := l.closed && len(l.queue) == 0
		l.mu.Unlock()
		if over {
			return
		}
	}
}

// take moves waiting requests into a batch.
func (l *Log) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*request
	n := 0
	for len(l.queue) > 0 && (n == 0 || n+len(l.queue[0].recs) <= l.opts.MaxBatch) {
		q := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		if q.state == withdrawn {
			continue
		}
		q.state = writing
		batch = append(batch, q)
		n += len(q.recs)
	}
	return batch
}

// aloneTries bounds how many requests of a failed batch are tried alone and fail
// in a row, before the store itself is taken to be what fails.
const aloneTries = 3

// commit writes a batch. If it fails and holds several requests, each is tried
// alone, so that one that can never be written does not fail the others.
func (l *Log) commit(batch []*request) {
	err := l.try(batch)
	if err == nil || len(batch) == 1 || errors.Is(err, errNotRecovered) {
		answer(batch, err)
		return
	}
	for i, failed := 0, 0; i < len(batch); i++ {
		if failed == aloneTries {
			answer(batch[i:], err)
			return
		}
		one := batch[i : i+1]
		if alone := l.try(one); alone != nil {
			failed, err = failed+1, alone
			answer(one, alone)
			continue
		}
		failed = 0
		answer(one, nil)
	}
}

func answer(batch []*request, err error) {
	for _, q := range batch {
		select {
		case q.err <- err:
		default: // it has its answer: its records are invalid
		}
	}
}

var errNotRecovered = errors.New("the store does not recover")

// unavailable is ErrUnavailable with its cause; said once.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// try chains, writes and announces a batch.
func (l *Log) try(batch []*request) error {
	ctx := context.Background() // a commit is not abandoned half way
	if l.sick {
		if err := l.recover(ctx); err != nil {
			return unavailable(fmt.Errorf("%w: %w", errNotRecovered, err))
		}
	}
	stored, head := l.chain(batch)
	if len(stored) == 0 {
		return nil
	}
	if err := l.driver.Append(ctx, stored); err != nil {
		l.opts.Logger.Error("audit commit failed", zap.Error(err), zap.Int("records", len(stored)))
		l.sick = true
		if rerr := l.recover(ctx); rerr != nil {
			return unavailable(fmt.Errorf("%w: %w: %w", errNotRecovered, err, rerr))
		}
		if l.Head() != head {
			return unavailable(err)
		}
		l.opts.Logger.Warn("audit commit is durable all the same", zap.Uint64("seq", head.Seq))
	}
	l.last = stored[len(stored)-1].Record.Time.Time
	l.announce(stored, head)
	return nil
}

// recover learns from the driver what is durable after a failed commit.
func (l *Log) recover(ctx context.Context) error {
	if err := l.driver.Recover(ctx); err != nil {
		return err
	}
	head, err := l.driver.Head(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.head = head
	l.mu.Unlock()
	l.sick = false
	return nil
}

// chain gives records their place in the chain. A request with a record that has
// no canonical form is answered here and left out.
func (l *Log) chain(batch []*request) ([]Stored, Head) {
	head, last, now := l.Head(), l.last, l.opts.Now()
	var out []Stored
	for _, q := range batch {
		mine, h, t, err := l.chainOne(q, head, last, now)
		if err != nil {
			answer([]*request{q}, fmt.Errorf("%w: %w", ErrInvalid, err))
			continue
		}
		out, head, last = append(out, mine...), h, t
	}
	return out, head
}

func (l *Log) chainOne(q *request, head Head, last, now time.Time) ([]Stored, Head, time.Time, error) {
	out := make([]Stored, 0, len(q.recs))
	for _, r := range q.recs {
		t := r.Time.Time
		if t.IsZero() || t.After(now) { // the future would pin all that follow to it
			t = now
		}
		if t.Before(last) { // a clock that went back must not reorder the journal
			t = last
		}
		last = t.Round(0).UTC()
		r.Seq, r.Time, r.Replica, r.Prev = head.Seq+1, Time{last}, l.driver.Replica(), head.Hash
		line, err := seal(r, l.opts.Key)
		if err != nil {
			return nil, head, last, err
		}
		head = Head{Replica: r.Replica, Seq: r.Seq, Hash: r.Hash}
		out = append(out, Stored{Record: r, JSON: line})
	}
	return out, head, last, nil
}

// announce makes a commit known: to OnCommit before the watchers, so that whoever
// is woken up finds it applied.
func (l *Log) announce(stored []Stored, head Head) {
	l.mu.Lock()
	l.head = head
	l.mu.Unlock()
	if l.opts.OnCommit != nil {
		recs := make([]*Record, len(stored))
		for i, s := range stored {
			recs[i] = s.Record
		}
		l.opts.OnCommit(recs)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
