package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
)

func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	require.NoError(t, s.Scan(t.Context(), audit.Filter{}, func(audit.Stored) error { n++; return nil }))
	return n
}

func TestOpen_ForReadingLeavesAStoreAtRestAsItIs(t *testing.T) {
	dir := smallDisk(t, "64m")
	_, l := openOn(t, dir, 1<<20)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0), audittest.Record(1)))
	head := l.Head()
	require.NoError(t, l.Close())
	body, err := os.ReadFile(filepath.Join(dir, "a.db"))
	require.NoError(t, err)
	for _, readOnlyDisk := range []bool{false, true} {
		if readOnlyDisk {
			require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}
		s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), ReadOnly: true})
		require.NoError(t, err)
		require.Equal(t, 2, count(t, s))
		h, err := s.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, head, h)
		require.ErrorIs(t, s.Append(t.Context(), nil), audit.ErrUnavailable)
		require.NoError(t, s.Close())
	}
	if wal, err := os.Stat(filepath.Join(dir, "a.db-wal")); err == nil {
		require.Zero(t, wal.Size(), "SQLite looks for records in it, and puts none")
	}
	after, err := os.ReadFile(filepath.Join(dir, "a.db"))
	require.NoError(t, err)
	require.Equal(t, body, after)
}

func TestOpen_ForReadingSeesWhatTheDaemonWrote(t *testing.T) {
	dir := t.TempDir()
	_, l := openOn(t, dir, -1)
	ro, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), ReadOnly: true})
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, l.Append(t.Context(), audittest.Record(i)))
		require.Equal(t, i+1, count(t, ro))
	}
	require.NoError(t, ro.Close())
	require.NoError(t, l.Append(t.Context(), audittest.Record(3)), "its end does not disturb the daemon")

	// Beside a killed daemon the newest records are in the WAL only.
	cold := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, "a.db"+suffix))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(cold, "a.db"+suffix), b, 0o600))
	}
	ro, err = Open(t.Context(), Options{Path: filepath.Join(cold, "a.db"), ReadOnly: true})
	require.NoError(t, err)
	require.Equal(t, 4, count(t, ro))
	require.NoError(t, ro.Close())
}

func TestOpen_ForReadingRefusesWhatIsNoStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	_, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, []byte("something else entirely, and long enough to be read as a header........................................"), 0o600))
	_, err = Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "file is not a database")
}

func TestOpen_OnAReadOnlyDiskIsUnavailable(t *testing.T) {
	dir := smallDisk(t, "64m")
	_, l := openOn(t, dir, -1)
	require.NoError(t, l.Append(t.Context(), audittest.Record(0)))
	require.NoError(t, l.Close())
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	for _, path := range []string{filepath.Join(dir, "a.db"), filepath.Join(dir, "new", "a.db")} {
		_, err := Open(t.Context(), Options{Path: path})
		require.ErrorIs(t, err, audit.ErrUnavailable)
		require.ErrorContains(t, err, "read-only file system")
		require.ErrorContains(t, err, dir)
	}
}

func TestOpen_ANewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, l := openOn(t, dir, -1)
	_, err := s.writer.ExecContext(t.Context(), "update meta_schema set version = 2")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, ro := range []bool{true, false} {
		_, err = Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), ReadOnly: ro})
		require.ErrorContains(t, err, "written by a newer remediator (schema 2, this one knows 1): use that one")
	}
}

func TestOpen_TheReplicaIsGivenOrKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	_, err := Open(t.Context(), Options{Path: path, Replica: "Bad Name"})
	require.ErrorContains(t, err, `replica "Bad Name": want lower-case letters, digits and dashes`)
	var got []string
	for _, name := range []string{"", "", "one", "", "two"} {
		s, err := Open(t.Context(), Options{Path: path, Replica: name, ReserveBytes: -1})
		require.NoError(t, err)
		got = append(got, s.Replica())
		require.NoError(t, s.Close())
	}
	require.Regexp(t, `^remediator-[0-9a-f]{8}$`, got[0])
	require.Equal(t, []string{got[0], got[0], "one", "one", "two"}, got)
}
