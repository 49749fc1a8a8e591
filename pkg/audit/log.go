package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Options of a log.
type Options struct {
	Key    []byte // HMAC instead of plain SHA-256 when not empty
	Now    func() time.Time
	Logger *zap.Logger
	// OnCommit is called from the writer goroutine with each committed batch, in
	// the order of records and before any Append of the batch returns. It must not
	// block and must not append.
	OnCommit func([]*Record)
	// MaxBatch bounds the records of one commit (default 512).
	MaxBatch int
}

// Log is the one writer of a journal. Concurrent appends share commits: whoever
// waits while a commit is under way goes into the next one.
type Log struct {
	driver Driver
	opts   Options

	mu     sync.Mutex // guards queue, closed, head and watchers
	queue  []*request
	closed bool
	head   Head
	watch  map[chan struct{}]bool

	kick chan struct{}
	done chan struct{}
	last time.Time // of the newest record; owned by the writer
	sick bool      // the last commit failed; owned by the writer
}

// request is one Append: all of its records are committed, or none.
type request struct {
	recs  []*Record
	state int // guarded by Log.mu
	err   chan error
}

const (
	waiting = iota
	writing
	withdrawn
)

// Open reads the head, checks that the newest records hash to it and starts the
// writer.
func Open(ctx context.Context, d Driver, o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = 512
	}
	head, err := d.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit store: %w", err)
	}
	l := &Log{driver: d, opts: o, head: head, watch: map[chan struct{}]bool{}, kick: make(chan struct{}, 1), done: make(chan struct{})}
	if err := l.checkTail(ctx); err != nil {
		return nil, err
	}
	go l.write()
	return l, nil
}

// tailLength is how many of the newest records are checked at the start.
const tailLength = 100

func (l *Log) checkTail(ctx context.Context) error {
	f := Filter{Replica: l.head.Replica}
	if l.head.Seq > tailLength {
		f.AfterSeq = l.head.Seq - tailLength
	}
	faults, sum, err := Verify(ctx, l.driver, f, VerifyOptions{Key: l.opts.Key, Heads: []Head{l.head}})
	if err != nil {
		return fmt.Errorf("audit store: the newest records cannot be read: %w", err)
	}
	if len(faults) > 0 {
		return fmt.Errorf("audit store: the chain is broken at %s; run `remediator audit verify`, keep a copy, and start on a new storage.path", faults[0])
	}
	l.last = sum.Last
	return nil
}

// Append makes records durable and fills in Seq, Time (now, unless the caller set
// one), Replica, Prev and Hash. It returns once they are, or with ErrUnavailable
// (nothing was written), ErrInDoubt (ctx ended during the commit), ErrClosed, or
// ctx's error (withdrawn before the commit; nothing will be written).
func (l *Log) Append(ctx context.Context, recs ...*Record) error {
	if len(recs) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("audit append: %w", err)
	}
	q := &request{recs: recs, err: make(chan error, 1)}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.queue = append(l.queue, q)
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
	select {
	case err := <-q.err:
		return err
	case <-ctx.Done():
	}
	l.mu.Lock()
	taken := q.state == writing
	if !taken {
		q.state = withdrawn
	}
	l.mu.Unlock()
	if !taken {
		return fmt.Errorf("audit append withdrawn: %w", ctx.Err())
	}
	select {
	case err := <-q.err: // it ended in the same moment
		return err
	default:
		return fmt.Errorf("%w: %w", ErrInDoubt, ctx.Err())
	}
}

// write is the writer goroutine.
func (l *Log) write() {
	defer close(l.done)
	for range l.kick {
		for {
			batch := l.take()
			if len(batch) == 0 {
				break
			}
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

// commit writes a batch. If it fails and holds several requests, each is tried
// alone, so that one that can never be written does not fail the others.
func (l *Log) commit(batch []*request) {
	err := l.try(batch)
	if err != nil && len(batch) > 1 && !errors.Is(err, errNotRecovered) {
		for _, q := range batch {
			l.commit([]*request{q})
		}
		return
	}
	for _, q := range batch {
		q.err <- err
	}
}

var errNotRecovered = errors.New("the store does not recover")

// try chains, writes and announces a batch.
func (l *Log) try(batch []*request) error {
	ctx := context.Background()
	if l.sick {
		if err := l.recover(ctx); err != nil {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNotRecovered, err)
		}
	}
	stored, head, err := l.chain(batch)
	if err != nil {
		return err
	}
	if err := l.driver.Append(ctx, stored); err != nil {
		l.opts.Logger.Error("audit commit failed", zap.Error(err), zap.Int("records", len(stored)))
		l.sick = true
		if rerr := l.recover(ctx); rerr != nil {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNotRecovered, err)
		}
		if l.Head().Seq != head.Seq || l.Head().Hash != head.Hash {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		// The failure was only in being told: the records are durable.
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

// chain gives records their place in the chain. The caller's records are written
// to only here, by the writer, while their Append waits or has given up on them.
func (l *Log) chain(batch []*request) ([]Stored, Head, error) {
	head := l.Head()
	last := l.last
	var out []Stored
	for _, q := range batch {
		for _, r := range q.recs {
			t := r.Time.Time
			if t.IsZero() {
				t = l.opts.Now()
			}
			if t.Before(last) { // a clock that went back must not reorder the journal
				t = last
			}
			last = t
			r.Seq, r.Time, r.Replica, r.Prev = head.Seq+1, Time{t.UTC()}, l.driver.Replica(), head.Hash
			line, err := seal(r, l.opts.Key)
			if err != nil {
				return nil, head, err
			}
			head = Head{Replica: r.Replica, Seq: r.Seq, Hash: r.Hash}
			out = append(out, Stored{Record: r, JSON: line})
		}
	}
	return out, head, nil
}

func (l *Log) announce(stored []Stored, head Head) {
	l.mu.Lock()
	l.head = head
	for c := range l.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	l.mu.Unlock()
	if l.opts.OnCommit == nil {
		return
	}
	recs := make([]*Record, len(stored))
	for i, s := range stored {
		recs[i] = s.Record
	}
	l.opts.OnCommit(recs)
}

// Head is the newest durable record.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Replica is the name under which this log writes.
func (l *Log) Replica() string { return l.driver.Replica() }

// Scan reads records; see Driver.Scan.
func (l *Log) Scan(ctx context.Context, f Filter, fn func(Stored) error) error {
	return l.driver.Scan(ctx, f, fn)
}

// Watch gives a channel that is signalled after commits; cancel ends it.
func (l *Log) Watch() (signal <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	l.watch[c] = true
	l.mu.Unlock()
	return c, func() {
		l.mu.Lock()
		delete(l.watch, c)
		l.mu.Unlock()
	}
}

// Close writes what is queued, ends the writer and closes the driver.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
	<-l.done
	return l.driver.Close()
}
