package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/audit"
)

func openLog(t *testing.T, path string, o audit.Options) *audit.Log {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, ReserveBytes: 4 << 20})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func record(i int) *audit.Record {
	return &audit.Record{Type: audit.CheckFinished, Remediation: fmt.Sprintf("r-%d", i), Targets: []string{"docker:local/api"}, Data: audit.JSON(map[string]string{"pad": strings.Repeat("x", 700)})}
}

func TestStore_AppendsInOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "remediator.db")
	var seen []uint64
	l := openLog(t, path, audit.Options{OnCommit: func(recs []*audit.Record) {
		for _, r := range recs {
			seen = append(seen, r.Seq)
		}
	}})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				require.NoError(t, l.Append(context.Background(), record(w*100+i), record(w*100+i)))
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 640)
	for i, s := range seen {
		require.EqualValues(t, i+1, s, "OnCommit sees records in their order")
	}
	faults, sum, err := audit.Verify(t.Context(), l, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{l.Head()}})
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, 640, sum.Records)

	n := 0
	require.NoError(t, l.Scan(t.Context(), audit.Filter{Target: "docker:local/api", Limit: 7}, func(audit.Stored) error { n++; return nil }))
	require.Equal(t, 7, n)
	info, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.EqualValues(t, 0o700, info.Mode().Perm())
}

func TestStore_OneDaemonAtATimeAndReadersBesideIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	l := openLog(t, path, audit.Options{})
	require.NoError(t, l.Append(t.Context(), record(1)))
	_, err := Open(t.Context(), Options{Path: path})
	require.ErrorContains(t, err, fmt.Sprintf("is held by another remediator (pid %d)", os.Getpid()))
	ro, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.NoError(t, err)
	h, err := ro.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, l.Head(), h)
	require.NoError(t, ro.Close())
}

func TestStore_AFullDiskDoesNotStopTheRecord(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"), "needs root: the test fills a file system of its own")
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), ReserveBytes: 8 << 20})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, audit.Options{})
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.Append(t.Context(), record(0)))

	filler, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 64<<10))
	}
	for _, err = filler.Write([]byte{1}); err == nil; _, err = filler.Write([]byte{1}) {
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	filler.Close()

	fit := 0
	for err = nil; err == nil && fit < 100_000; fit++ {
		err = l.Append(t.Context(), record(fit))
	}
	t.Logf("%d records of about 1 KB fitted into a full disk: %v", fit, err)
	require.GreaterOrEqual(t, fit, 2000)
	require.ErrorIs(t, err, audit.ErrUnavailable)

	require.NoError(t, os.Remove(filepath.Join(dir, "filler")))
	require.NoError(t, l.Append(t.Context(), record(1)), "it works again once there is room")
	faults, _, err := audit.Verify(t.Context(), l, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{l.Head()}})
	require.NoError(t, err)
	require.Empty(t, faults)
}

func TestVerify_NamesTheChangedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	l := openLog(t, path, audit.Options{})
	for i := range 10 {
		require.NoError(t, l.Append(t.Context(), record(i)))
	}
	for name, c := range map[string]struct{ sql, want string }{
		"one byte changed": {`update records set json = replace(json, '"r-4"', '"r-5"') where seq = 5`, "5 was changed"},
		"one removed":      {"delete from records where seq = 3", "3 is missing: after 2 comes 4"},
		"the tail cut":     {"delete from records where seq = 10", "10 is missing: the tail was cut, the exported head is 10"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tampered(t, path, c.sql)
			faults, _, err := audit.Verify(t.Context(), s, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{l.Head()}})
			require.NoError(t, err)
			require.Len(t, faults, 1)
			require.Contains(t, faults[0].String(), c.want)
		})
	}
}

// tampered opens a copy of a store with one statement applied to it.
func tampered(t *testing.T, path, statement string) *Store {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	src, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.NoError(t, err)
	_, err = src.reader.Exec("vacuum into ?", copied)
	if err != nil { // query_only forbids it: copy through the files
		require.NoError(t, errors.Join(copyFile(path, copied), copyFile(path+"-wal", copied+"-wal")))
	}
	require.NoError(t, src.Close())
	s, err := Open(t.Context(), Options{Path: copied, ReserveBytes: -1})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	_, err = s.writer.Exec(statement)
	require.NoError(t, err)
	return s
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
