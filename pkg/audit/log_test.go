package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// faulty is a driver in memory whose functions a test replaces.
type faulty struct {
	append  func(ctx context.Context, batch []Stored) error
	recover func() error

	mu      sync.Mutex // guards recs and batches
	recs    []Stored
	batches []int
}

var _ Driver = (*faulty)(nil)

func (f *faulty) Replica() string { return "r" }
func (f *faulty) Close() error    { return nil }

func (f *faulty) Append(ctx context.Context, batch []Stored) error {
	if f.append != nil {
		return f.append(ctx, batch)
	}
	return f.keep(batch)
}

func (f *faulty) keep(batch []Stored) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(batch))
	f.recs = append(f.recs, batch...)
	return nil
}

func (f *faulty) Recover(context.Context) error {
	if f.recover != nil {
		return f.recover()
	}
	return nil
}

func (f *faulty) Head(context.Context) (Head, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.recs) == 0 {
		return Head{Replica: "r", Hash: ZeroHash}, nil
	}
	r := f.recs[len(f.recs)-1].Record
	return Head{Replica: "r", Seq: r.Seq, Hash: r.Hash}, nil
}

func (f *faulty) Scan(_ context.Context, q Filter, fn func(Stored) error) error {
	f.mu.Lock()
	recs := f.recs
	f.mu.Unlock()
	for _, s := range recs {
		if s.Record.Seq > q.AfterSeq {
			if err := fn(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func openFaulty(t *testing.T, d *faulty, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), d, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func sound(t *testing.T, d Source, want int) {
	t.Helper()
	faults, sum, err := Verify(t.Context(), d, Filter{}, VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, want, sum.Records)
}

// stalled makes a driver whose first append waits for the returned function.
func stalled(d *faulty) (begun chan struct{}, release func()) {
	begun, gate := make(chan struct{}), make(chan struct{})
	first := true
	d.append = func(_ context.Context, batch []Stored) error {
		if first {
			first = false
			close(begun)
			<-gate
		}
		return d.keep(batch)
	}
	return begun, func() { close(gate) }
}

func TestLog_WithdrawsWhatIsStillQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		l := openFaulty(t, d, Options{})
		first := make(chan error, 1)
		go func() { first <- l.Append(context.Background(), &Record{Type: AlertFiring}) }()
		<-begun
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r := &Record{Type: AlertResolved}
		err := l.Append(ctx, r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrInDoubt)
		require.Equal(t, Record{Type: AlertResolved}, *r, "a record that was not written is as it was")
		release()
		require.NoError(t, <-first)
		require.NoError(t, l.Append(context.Background(), &Record{Type: DaemonStopped}))
		sound(t, d, 2)
		require.Equal(t, DaemonStopped, d.recs[1].Record.Type)
	})
}

func TestLog_SaysInDoubtDuringTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		l := openFaulty(t, d, Options{})
		ctx, cancel := context.WithCancel(context.Background())
		r := &Record{Type: AlertFiring}
		done := make(chan error, 1)
		go func() { done <- l.Append(ctx, r) }()
		<-begun
		cancel()
		err := <-done
		require.ErrorIs(t, err, ErrInDoubt)
		require.ErrorIs(t, err, context.Canceled)
		r.Type = DaemonStopped // the caller may use it again: what is written is a copy
		release()
		require.NoError(t, l.Append(context.Background(), r))
		sound(t, d, 2)
		require.Equal(t, []Type{AlertFiring, DaemonStopped}, []Type{d.recs[0].Record.Type, d.recs[1].Record.Type})
	})
}

func TestLog_SharesCommitsAndAnnouncesBeforeItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		var mu sync.Mutex // guards seen
		var seen []uint64
		l := openFaulty(t, d, Options{MaxBatch: 8, OnCommit: func(recs []*Record) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range recs {
				seen = append(seen, r.Seq)
			}
		}})
		signal, cancel := l.Watch()
		defer cancel()
		var wg sync.WaitGroup
		add := func() {
			wg.Go(func() {
				r := &Record{Type: AlertFiring}
				err := l.Append(context.Background(), r)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || !slices.Contains(seen, r.Seq) {
					t.Error("answered before it was announced")
				}
			})
		}
		add()
		<-begun
		for range 20 {
			add()
		}
		synctest.Wait()
		release()
		wg.Wait()
		<-signal
		require.Equal(t, []int{1, 8, 8, 4}, d.batches)
		for i, s := range seen {
			require.EqualValues(t, i+1, s)
		}
		sound(t, d, 21)
	})
}

func TestLog_OnePoisonousRecordFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		stall, poison := d.append, errors.New("refused")
		d.append = func(ctx context.Context, batch []Stored) error {
			for _, s := range batch {
				if s.Record.Type == "poison" {
					return poison
				}
			}
			return stall(ctx, batch)
		}
		l := openFaulty(t, d, Options{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Append(context.Background(), &Record{Type: DaemonStarted}) })
		<-begun
		errs := make([]error, 6)
		for i, typ := range []Type{AlertFiring, "poison", AlertFiring, "poison", "invalid", AlertFiring} {
			r := &Record{Type: typ}
			if typ == "invalid" {
				r.Data = json.RawMessage(`{"n":1e999}`)
			}
			wg.Go(func() { errs[i] = l.Append(context.Background(), r) })
			synctest.Wait()
		}
		release()
		wg.Wait()
		for _, i := range []int{0, 2, 5} {
			require.NoError(t, errs[i])
		}
		for _, i := range []int{1, 3} {
			require.ErrorIs(t, errs[i], ErrUnavailable)
			require.ErrorIs(t, errs[i], poison)
		}
		require.ErrorIs(t, errs[4], ErrInvalid)
		require.NotErrorIs(t, errs[4], ErrUnavailable)
		sound(t, d, 4)
	})
}

func TestLog_AStoreThatIsAwayIsNotTriedForEachCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		l := openFaulty(t, d, Options{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Append(context.Background(), &Record{Type: DaemonStarted}) })
		<-begun
		errs := make([]error, 50)
		for i := range errs {
			wg.Go(func() { errs[i] = l.Append(context.Background(), &Record{Type: AlertFiring}) })
		}
		synctest.Wait()
		tries, full := 0, errors.New("disk full")
		d.append = func(context.Context, []Stored) error { tries++; return full }
		release()
		wg.Wait()
		for _, err := range errs {
			require.ErrorIs(t, err, full)
		}
		require.LessOrEqual(t, tries, 1+aloneTries)
		d.append = nil
		require.NoError(t, l.Append(context.Background(), &Record{Type: DaemonStopped}), "it works again by itself")
		sound(t, d, 2)
	})
}

func TestLog_AFailedSyncIsJudgedByTheHead(t *testing.T) {
	for name, persisted := range map[string]bool{"it persisted all the same": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			d := &faulty{}
			recovered := 0
			d.recover = func() error { recovered++; return nil }
			var announced int
			l := openFaulty(t, d, Options{OnCommit: func(recs []*Record) { announced += len(recs) }})
			sync := errors.New("fsync: input/output error")
			d.append = func(_ context.Context, batch []Stored) error {
				if persisted {
					_ = d.keep(batch)
				}
				return sync
			}
			r := &Record{Type: StepStarted}
			err := l.Append(t.Context(), r)
			require.Equal(t, 1, recovered)
			d.append = nil
			if persisted {
				require.NoError(t, err)
				require.EqualValues(t, 1, r.Seq)
			} else {
				require.ErrorIs(t, err, ErrUnavailable)
				require.ErrorIs(t, err, sync)
				require.Zero(t, r.Seq)
				require.Zero(t, announced)
			}
			require.NoError(t, l.Append(t.Context(), r))
			require.Equal(t, len(d.recs), announced)
			sound(t, d, announced)
		})
	}
}

func TestLog_WritesNothingUntilTheStoreRecovered(t *testing.T) {
	d := &faulty{}
	l := openFaulty(t, d, Options{})
	away := errors.New("gone")
	d.append = func(context.Context, []Stored) error { return away }
	d.recover = func() error { return away }
	require.ErrorIs(t, l.Append(t.Context(), &Record{Type: AlertFiring}), ErrUnavailable)
	d.append = func(context.Context, []Stored) error { t.Error("written to a store in doubt"); return nil }
	require.ErrorIs(t, l.Append(t.Context(), &Record{Type: AlertFiring}), ErrUnavailable)
	d.append, d.recover = nil, nil
	require.NoError(t, l.Append(t.Context(), &Record{Type: AlertFiring}))
	sound(t, d, 1)
}

func TestLog_TimeNeverGoesBackNorAhead(t *testing.T) {
	base := time.Date(2026, 5, 1, 12, 0, 0, 5, time.FixedZone("", 7200))
	now := base
	d := &faulty{}
	l := openFaulty(t, d, Options{Now: func() time.Time { return now }})
	for i, c := range []struct{ now, set, want time.Time }{
		{now: base, want: base},
		{now: base.Add(time.Minute), set: base.Add(time.Second), want: base.Add(time.Second)},
		{now: base.Add(time.Minute), set: base.Add(time.Hour), want: base.Add(time.Minute)}, // ahead
		{now: base, want: base.Add(time.Minute)},                                            // the clock went back
		{now: base.Add(2 * time.Minute), set: base, want: base.Add(time.Minute)},
	} {
		now = c.now
		r := &Record{Type: AlertFiring, Time: Time{c.set}}
		require.NoError(t, l.Append(t.Context(), r))
		require.Equal(t, c.want.UTC(), r.Time.Time, "case %d", i)
	}
	sound(t, d, 5)
}

func TestLog_CloseWritesWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		begun, release := stalled(d)
		l, err := Open(t.Context(), d, Options{})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := l.Append(context.Background(), &Record{Type: AlertFiring}); err != nil {
					t.Error(err)
				}
			})
		}
		<-begun
		synctest.Wait()
		closed := make(chan error, 2)
		go func() { closed <- l.Close() }()
		go func() { closed <- l.Close() }()
		synctest.Wait()
		require.ErrorIs(t, l.Append(context.Background(), &Record{Type: AlertFiring}), ErrClosed)
		release()
		wg.Wait()
		require.NoError(t, <-closed)
		require.NoError(t, <-closed)
		sound(t, d, 5)
	})
}

func TestOpen_RefusesABrokenTail(t *testing.T) {
	build := func(key []byte, n int) *faulty {
		d := &faulty{}
		l, err := Open(t.Context(), d, Options{Key: key})
		require.NoError(t, err)
		for i := range n {
			require.NoError(t, l.Append(t.Context(), &Record{Type: AlertFiring, Episode: fmt.Sprintf("e-%d", i)}))
		}
		require.NoError(t, l.Close())
		return d
	}
	d := build(nil, 250)
	_, err := Open(t.Context(), d, Options{})
	require.NoError(t, err)
	s := &d.recs[199]
	s.JSON = []byte(string(s.JSON[:20]) + "X" + string(s.JSON[21:]))
	_, err = Open(t.Context(), d, Options{})
	require.ErrorContains(t, err, "the chain is broken at r 200 ")

	_, err = Open(t.Context(), build(nil, 3), Options{Key: []byte("k")})
	require.ErrorContains(t, err, "record r 1 was written without audit.key: remove the key, or start on a new storage.path with it")
	_, err = Open(t.Context(), build([]byte("k"), 3), Options{Key: []byte("other")})
	require.ErrorContains(t, err, "put back the audit.key it was written with")
}

func TestFollow_SeesOldAndNewRecordsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faulty{}
		l := openFaulty(t, d, Options{})
		require.NoError(t, l.Append(t.Context(), &Record{Type: AlertFiring}, &Record{Type: AlertFiring}))
		ctx, cancel := context.WithCancel(t.Context())
		var got []uint64
		done := make(chan error, 1)
		go func() {
			done <- Follow(ctx, l, Filter{}, func(s Stored) error { got = append(got, s.Record.Seq); return nil })
		}()
		for range 5 {
			require.NoError(t, l.Append(t.Context(), &Record{Type: AlertResolved}))
		}
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7}, got)
	})
}
