package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ErrInvalid says that the record itself cannot be written, now or later. Nothing was.
var ErrInvalid = errors.New("audit record invalid")

// Options of a log.
type Options struct {
	Key    []byte // HMAC instead of plain SHA-256 when not empty
	Now    func() time.Time
	Logger *zap.Logger
	// OnCommit is called from the writer goroutine with each committed batch, in
	// the order of records and before any Append of the batch returns. It must not
	// block and must not append. The records are its to keep, not to change.
	OnCommit func([]*Record)
	// MaxBatch bounds the records of one commit (default 512); a single Append
	// with more of them is still one commit.
	MaxBatch int
}

// Log is the one writer of a journal. Concurrent appends share commits: whoever
// waits while a commit is under way goes into the next one.
type Log struct {
	driver Driver
	opts   Options

	mu     sync.Mutex // guards queue, closed, head and watch
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
	recs  []*Record // copies: the caller may have given up and use its own again
	state int       // guarded by Log.mu
	err   chan error
}

const (
	waiting = iota
	writing
	withdrawn
)

// Open reads the head, checks that the newest records hash to it and starts the
// writer. The log owns the driver from then on; after an error the caller does.
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
	faults, sum, err := l.verifyTail(ctx, l.opts.Key)
	if err != nil {
		return fmt.Errorf("audit store: the newest records cannot be read: %w", err)
	}
	if len(faults) == 0 {
		l.last = sum.Last
		return nil
	}
	if len(faults) >= sum.Records && len(l.opts.Key) > 0 {
		if plain, _, err := l.verifyTail(ctx, nil); err == nil && len(plain) == 0 {
			return fmt.Errorf("audit store: record %s was written without audit.key: remove the key, or start on a new storage.path with it", faults[0].where())
		}
	}
	return fmt.Errorf("audit store: the chain is broken at %s: put back the audit.key it was written with, or run `remediator audit verify`, keep a copy and start on a new storage.path", faults[0])
}

func (l *Log) verifyTail(ctx context.Context, key []byte) ([]Fault, Summary, error) {
	f := Filter{Replica: l.head.Replica}
	if l.head.Seq > tailLength {
		f.AfterSeq = l.head.Seq - tailLength
	}
	return Verify(ctx, l.driver, f, VerifyOptions{Key: key, Heads: []Head{l.head}})
}

// Append makes records durable and fills in Seq, Time, Replica, Prev and Hash. A
// Time that the caller set is kept, unless it is in the future or before the
// previous record's; else it is now. It returns once the records are durable, all
// of them, or with ErrUnavailable or ErrInvalid (nothing was written), ErrInDoubt
// (ctx ended during the commit), ErrClosed, or ctx's error (withdrawn before the
// commit; nothing will be written). Unless it returns nil, recs are unchanged.
func (l *Log) Append(ctx context.Context, recs ...*Record) error {
	if len(recs) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("audit append: %w", err)
	}
	q := newRequest(recs)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.queue = append(l.queue, q)
	l.mu.Unlock()
	l.wake()
	err := l.wait(ctx, q)
	if err != nil {
		return err
	}
	for i, r := range q.recs {
		recs[i].Seq, recs[i].Time, recs[i].Replica, recs[i].Prev, recs[i].Hash = r.Seq, r.Time, r.Replica, r.Prev, r.Hash
	}
	return nil
}

func newRequest(recs []*Record) *request {
	q := &request{recs: make([]*Record, len(recs)), err: make(chan error, 1)}
	for i, r := range recs {
		own := *r
		q.recs[i] = &own
	}
	return q
}

func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// wait for a request's end, or ctx's.
func (l *Log) wait(ctx context.Context, q *request) error {
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

// Watch gives a channel that is signalled after commits; cancel ends it. One
// signal may stand for several commits: read from the last seq known.
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

// Close writes what is queued, ends the writer and closes the driver. Appends
// from then on get ErrClosed. A second Close waits for the first.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.wake()
	<-l.done
	return l.driver.Close()
}
