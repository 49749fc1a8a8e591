package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
)

// smallDisk is a file system of its own that a test can fill.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size), "needs root: the test fills a file system of its own")
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill writes a file until not one byte more fits, and gives its name.
func fill(t *testing.T, dir, name string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	defer f.Close()
	for _, chunk := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, chunk))
		}
		require.ErrorIs(t, err, unix.ENOSPC)
	}
	return f.Name()
}

func openOn(t *testing.T, dir string, reserve int64) (*Store, *audit.Log) {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), ReserveBytes: reserve})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, audit.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return s, l
}

// untilUnavailable appends typical records one by one until one is refused.
func untilUnavailable(t *testing.T, l *audit.Log) int {
	t.Helper()
	for n := range 100_000 {
		if err := l.Append(t.Context(), audittest.Record(n)); err != nil {
			require.ErrorIs(t, err, audit.ErrUnavailable)
			require.ErrorContains(t, err, "database or disk is full")
			return n
		}
	}
	t.Fatal("the disk was not full")
	return 0
}

func whole(t *testing.T, s *Store, l *audit.Log) {
	t.Helper()
	faults, _, err := audit.Verify(t.Context(), s, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{l.Head()}})
	require.NoError(t, err)
	require.Empty(t, faults)
}

func TestStore_AFullDiskDoesNotStopTheRecord(t *testing.T) {
	dir := smallDisk(t, "64m")
	s, l := openOn(t, dir, DefaultReserve)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0)))
	require.True(t, s.ReserveHeld())
	filler := fill(t, dir, "filler")

	n := untilUnavailable(t, l)
	t.Logf("%d typical records (about 1 KB) fitted into a full disk", n)
	require.GreaterOrEqual(t, n, 2000)
	require.False(t, s.ReserveHeld())
	require.ErrorIs(t, l.Append(t.Context(), audittest.Record(1)), audit.ErrUnavailable, "and it stays so")
	seen := 0
	require.NoError(t, l.Scan(t.Context(), audit.Filter{}, func(audit.Stored) error { seen++; return nil }))
	require.Equal(t, n+1, seen, "what was acknowledged is readable on the full disk")

	require.NoError(t, os.Remove(filler))
	s.reserve.mu.Lock()
	s.reserve.next = time.Time{} // the minute is over
	s.reserve.mu.Unlock()
	require.NoError(t, l.Append(t.Context(), audittest.Record(2)), "it works again once there is room")
	require.True(t, s.ReserveHeld(), "and the reserve is made again")
	whole(t, s, l)

	fill(t, dir, "filler again")
	require.GreaterOrEqual(t, untilUnavailable(t, l), 2000)
	whole(t, s, l)
}

func TestStore_AProgramThatTakesEveryByteDoesNotStopTheRecord(t *testing.T) {
	dir := smallDisk(t, "64m")
	s, l := openOn(t, dir, DefaultReserve)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0)))
	require.True(t, s.reserve.release(), "what is given up")
	fill(t, dir, "filler") // is taken at once by what fills the disk
	n := untilUnavailable(t, l)
	t.Logf("%d typical records fitted into the pages kept inside the store", n)
	require.GreaterOrEqual(t, n, 2000)
	whole(t, s, l)
}

func TestOpen_StartsOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, "64m")
	path := filepath.Join(dir, "a.db")
	s, err := Open(t.Context(), Options{Path: path})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, audit.Options{})
	require.NoError(t, err)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0)))
	require.NoError(t, l.Close())
	fill(t, dir, "filler")

	s, l = openOn(t, dir, DefaultReserve)
	require.EqualValues(t, 1, l.Head().Seq)
	require.GreaterOrEqual(t, untilUnavailable(t, l), 2000)
	whole(t, s, l)
}

func TestOpen_OnAFullDiskWithoutAStoreIsUnavailable(t *testing.T) {
	dir := smallDisk(t, "4m")
	fill(t, dir, "filler")
	_, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db")})
	require.ErrorIs(t, err, audit.ErrUnavailable)
	require.ErrorContains(t, err, filepath.Join(dir, "a.db"))
}

func TestOpen_WithoutRoomForAReserveSaysSo(t *testing.T) {
	dir := smallDisk(t, "8m")
	s, l := openOn(t, dir, DefaultReserve)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0)), "a reserve that does not fit stops nothing")
	require.False(t, s.ReserveHeld())
}
