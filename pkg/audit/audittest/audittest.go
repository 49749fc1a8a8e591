// Package audittest is what every audit.Driver must pass: Run in the driver's own
// tests, and Main in its TestMain (a child writer is the test binary itself).
package audittest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// Suite is a driver under test.
type Suite struct {
	// New gives a new, empty store and its address, which a child process can open.
	New func(t *testing.T) (address string)
	// Open opens the store at an address.
	Open func(ctx context.Context, address string) (audit.Driver, error)
}

// Run runs the suite. A driver's TestMain must call Main first.
func Run(t *testing.T, s Suite) {
	for name, test := range map[string]func(*testing.T, Suite){
		"an empty store has a head of zeros":              emptyStore,
		"what was appended is read back":                  readBack,
		"a reopened store goes on":                        reopen,
		"filters select":                                  filters,
		"a batch is all or nothing":                       allOrNothing,
		"the error of a reader ends the scan":             readerError,
		"readers see whole batches while writing goes on": concurrentReaders,
		"recover changes nothing in a sound store":        recoverSound,
		"a slow reader does not stop the writer":          slowReader,
		"index columns are those of the records":          indexed,
		"kill -9 loses no acknowledged record":            killed,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func (s Suite) open(t *testing.T, address string) audit.Driver {
	t.Helper()
	d, err := s.Open(t.Context(), address)
	require.NoError(t, err)
	return d
}

func (s Suite) log(t *testing.T, address string, o audit.Options) *audit.Log {
	t.Helper()
	l, err := audit.Open(t.Context(), s.open(t, address), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// Record is a typical record of about 1 KB.
func Record(i int) *audit.Record {
	step := i % 3
	name := []string{"ServiceDown", "DiskFull"}[i%2]
	labels := template.KV{"alertname": name, "job": "stellar-escrow-indexer", "instance": fmt.Sprintf("10.0.0.%d:9100", i%250)}
	at := time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC)
	return &audit.Record{
		Type: audit.CheckFinished, Mode: "live", Actor: "system", Config: strings.Repeat("c0", 32),
		Incident: fmt.Sprintf("i-%d", i/10), Remediation: fmt.Sprintf("r-%d", i/5), Policy: "RB-002-indexer-down", Runbook: "RB-002",
		Severity: "P2", Episode: fmt.Sprintf("e-%d", i), Target: fmt.Sprintf("docker:local/s%d", i%4), Step: &step, Uses: "docker.restart",
		Alert:   &template.Alert{Status: "firing", Labels: labels, Annotations: template.KV{"summary": "Größe <1> & \u2028"}, StartsAt: at, Fingerprint: fmt.Sprintf("%016x", i)},
		Result:  audit.JSON(map[string]any{"ok": true, "text": "200 OK", "rows": 1.5e-7, "n": i}),
		Targets: []string{"docker:local/all", fmt.Sprintf("docker:local/s%d", i%4)},
		Data:    audit.JSON(map[string]string{"log": strings.Repeat("x", 120)}),
	}
}

func collect(t *testing.T, d audit.Source, f audit.Filter) []audit.Stored {
	t.Helper()
	var out []audit.Stored
	require.NoError(t, d.Scan(t.Context(), f, func(s audit.Stored) error { out = append(out, s); return nil }))
	return out
}

func sound(t *testing.T, d audit.Source, want int, heads ...audit.Head) {
	t.Helper()
	faults, sum, err := audit.Verify(t.Context(), d, audit.Filter{}, audit.VerifyOptions{Heads: heads})
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, want, sum.Records)
}

func emptyStore(t *testing.T, s Suite) {
	d := s.open(t, s.New(t))
	h, err := d.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, audit.Head{Replica: d.Replica(), Hash: audit.ZeroHash}, h)
	require.Regexp(t, `^[a-z0-9-]+$`, d.Replica())
	require.Empty(t, collect(t, d, audit.Filter{}))
	require.NoError(t, d.Close())
}

func readBack(t *testing.T, s Suite) {
	l := s.log(t, s.New(t), audit.Options{})
	var want []*audit.Record
	for i := range 7 {
		r := Record(i)
		require.NoError(t, l.Append(t.Context(), r))
		want = append(want, r)
	}
	got := collect(t, l, audit.Filter{})
	require.Len(t, got, len(want))
	for i, g := range got {
		a, err := json.Marshal(want[i])
		require.NoError(t, err)
		b, err := json.Marshal(g.Record)
		require.NoError(t, err)
		require.JSONEq(t, string(a), string(b))
		require.JSONEq(t, string(a), string(g.JSON))
		hash, err := audit.HashOf(g.JSON, nil)
		require.NoError(t, err)
		require.Equal(t, want[i].Hash, hash)
	}
	require.Equal(t, audit.Head{Replica: l.Replica(), Seq: 7, Hash: want[6].Hash}, l.Head())
}

func reopen(t *testing.T, s Suite) {
	address := s.New(t)
	var replica string
	for round := range 3 {
		d := s.open(t, address)
		if replica == "" {
			replica = d.Replica()
		}
		require.Equal(t, replica, d.Replica(), "the name is kept")
		l, err := audit.Open(t.Context(), d, audit.Options{})
		require.NoError(t, err)
		require.EqualValues(t, round*2, l.Head().Seq)
		require.NoError(t, l.Append(t.Context(), Record(round), Record(round)))
		sound(t, d, round*2+2, l.Head())
		require.NoError(t, l.Close())
	}
}

func allOrNothing(t *testing.T, s Suite) {
	address := s.New(t)
	l := s.log(t, address, audit.Options{})
	require.NoError(t, l.Append(t.Context(), Record(0)))
	first := collect(t, l, audit.Filter{})[0]
	require.NoError(t, l.Close())

	d := s.open(t, address)
	second := *Record(1)
	second.Replica, second.Seq, second.Time = d.Replica(), 2, first.Record.Time
	line, err := json.Marshal(second)
	require.NoError(t, err)
	// The last of the batch takes a place that is taken.
	err = d.Append(t.Context(), []audit.Stored{{Record: &second, JSON: line}, first})
	require.Error(t, err)
	require.NoError(t, d.Recover(t.Context()))
	h, err := d.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, h.Seq)
	require.Len(t, collect(t, d, audit.Filter{}), 1)
	require.Empty(t, collect(t, d, audit.Filter{Target: second.Target}))
	require.NoError(t, d.Close())
}

func readerError(t *testing.T, s Suite) {
	l := s.log(t, s.New(t), audit.Options{})
	require.NoError(t, l.Append(t.Context(), Record(0), Record(1), Record(2)))
	n, stop := 0, fmt.Errorf("enough")
	require.ErrorIs(t, l.Scan(t.Context(), audit.Filter{}, func(audit.Stored) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	}), stop)
	require.Equal(t, 2, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, l.Scan(ctx, audit.Filter{}, func(audit.Stored) error { return nil }))
}

// indexed is required of every driver that has index columns.
func indexed(t *testing.T, s Suite) {
	const want = 5
	d := s.open(t, s.New(t))
	ix, ok := d.(audit.Indexed)
	require.True(t, ok, "%T keeps columns, so Verify must be able to check them", d)
	l, err := audit.Open(t.Context(), d, audit.Options{})
	require.NoError(t, err)
	for i := range want - 1 {
		require.NoError(t, l.Append(t.Context(), Record(i)))
	}
	require.NoError(t, l.Append(t.Context(), &audit.Record{Type: audit.DaemonStopped})) // no target, no alert
	for after, n := range map[uint64]int{0: want, 3: want - 3, 9: 0} {
		for _, replica := range []string{"", d.Replica()} {
			seen := after
			require.NoError(t, ix.ScanIndexed(t.Context(), replica, after, func(st audit.Stored, c audit.Columns) error {
				seen++
				var r audit.Record
				require.NoError(t, json.Unmarshal(st.JSON, &r))
				require.Equal(t, seen, c.Seq)
				require.Equal(t, audit.ColumnsOf(&r), c)
				return nil
			}))
			require.EqualValues(t, n, max(seen, after)-after)
		}
	}
	require.NoError(t, ix.ScanIndexed(t.Context(), "nobody", 0, func(audit.Stored, audit.Columns) error { return fmt.Errorf("no such replica") }))
	require.NoError(t, l.Close())
}

func concurrentReaders(t *testing.T, s Suite) {
	l := s.log(t, s.New(t), audit.Options{})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				last := uint64(0)
				err := l.Scan(context.Background(), audit.Filter{}, func(st audit.Stored) error {
					if st.Record.Seq != last+1 {
						return fmt.Errorf("after %d comes %d", last, st.Record.Seq)
					}
					last = st.Record.Seq
					return nil
				})
				if err == nil && last%3 != 0 {
					err = fmt.Errorf("%d records: half a batch", last)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 60 {
		require.NoError(t, l.Append(t.Context(), Record(i), Record(i), Record(i)))
	}
	stop()
	wg.Wait()
	sound(t, l, 180, l.Head())
}

func recoverSound(t *testing.T, s Suite) {
	address := s.New(t)
	l := s.log(t, address, audit.Options{})
	require.NoError(t, l.Append(t.Context(), Record(0), Record(1)))
	head := l.Head()
	require.NoError(t, l.Close())
	d := s.open(t, address)
	require.NoError(t, d.Recover(t.Context()))
	h, err := d.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, h)
	sound(t, d, 2, head)
	require.NoError(t, d.Close())
}

func slowReader(t *testing.T, s Suite) {
	l := s.log(t, s.New(t), audit.Options{})
	require.NoError(t, l.Append(t.Context(), Record(0), Record(1)))
	n := 0
	require.NoError(t, l.Scan(t.Context(), audit.Filter{}, func(audit.Stored) error {
		n++ // a reader that stands still here must not keep appends from being done
		return l.Append(t.Context(), Record(n))
	}))
	require.Equal(t, 2, n, "a scan ends at what was newest when it began")
	// Many readers that stand still leave connections for others.
	var hold func(depth int) error
	hold = func(depth int) error {
		if depth == 0 {
			return l.Append(t.Context(), Record(9))
		}
		return l.Scan(t.Context(), audit.Filter{Limit: 1}, func(audit.Stored) error { return hold(depth - 1) })
	}
	require.NoError(t, hold(20))
	require.True(t, slices.IsSortedFunc(collect(t, l, audit.Filter{}), func(a, b audit.Stored) int {
		return a.Record.Time.Compare(b.Record.Time.Time)
	}))
}
