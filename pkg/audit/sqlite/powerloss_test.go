package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
)

// extShutdown is EXT4_IOC_SHUTDOWN; with noLogFlush everything that was not synced
// is lost, as when the power fails, and every later write and sync fails.
const (
	extShutdown = 0x8004587d
	noLogFlush  = 2
)

// disk is an ext4 file system in a file, which can lose its power.
type disk struct{ image, dir string }

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(t.TempDir(), "disk"), dir: t.TempDir()}
	require.NoError(t, os.WriteFile(d.image, nil, 0o600))
	require.NoError(t, os.Truncate(d.image, 32<<20))
	run(t, "mkfs.ext4", "-q", d.image)
	d.mount(t)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...).CombinedOutput()
	require.NoError(t, err, "%s needs root, e2fsprogs and a loop device: %s", name, out)
}

func (d *disk) mount(t *testing.T) { t.Helper(); run(t, "mount", "-o", "loop", d.image, d.dir) }

func (d *disk) losePower(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.IoctlSetPointerInt(int(f.Fd()), extShutdown, noLogFlush))
}

// restart mounts what the disk holds: a copy of it, because a container that is
// being started beside the test may keep the dead mount in its namespace.
func (d *disk) restart(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Unmount(d.dir, unix.MNT_DETACH))
	next := d.image + "+"
	run(t, "cp", "--sparse=always", d.image, next)
	require.NoError(t, os.Remove(d.image))
	d.image = next
	d.mount(t)
}

func TestStore_PowerLossLosesNoAcknowledgedRecord(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(d.dir, "data", "a.db")
	acked := map[uint64]string{}
	for round := range 4 {
		s, err := Open(t.Context(), Options{Path: path, ReserveBytes: 1 << 20})
		require.NoError(t, err)
		l, err := audit.Open(t.Context(), s, audit.Options{})
		require.NoError(t, err)
		var mu sync.Mutex // guards acked
		var wg sync.WaitGroup
		begun := make(chan struct{}, 1<<16)
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					r := audittest.Record(w*100 + i)
					if l.Append(context.Background(), r) != nil {
						return
					}
					mu.Lock()
					acked[r.Seq] = r.Hash
					mu.Unlock()
					begun <- struct{}{}
				}
			})
		}
		for range 50 * (round + 1) {
			<-begun
		}
		// Only what was acknowledged before counts: ext4 can answer a sync that comes
		// in the same moment with success, and no power failure is that polite.
		mu.Lock()
		before := maps.Clone(acked)
		mu.Unlock()
		d.losePower(t)
		wg.Wait() // every writer was told that its last record is not safe
		require.ErrorIs(t, l.Append(t.Context(), audittest.Record(0)), audit.ErrUnavailable)
		_ = l.Close() // cannot put its WAL away
		d.restart(t)

		ro, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
		require.NoError(t, err)
		stored := map[uint64]string{}
		require.NoError(t, ro.Scan(t.Context(), audit.Filter{}, func(st audit.Stored) error {
			stored[st.Record.Seq] = st.Record.Hash
			return nil
		}))
		for seq, hash := range before {
			require.Equal(t, hash, stored[seq], "round %d: record %d was acknowledged", round, seq)
		}
		head, err := ro.Head(t.Context())
		require.NoError(t, err)
		faults, _, err := audit.Verify(t.Context(), ro, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{head}})
		require.NoError(t, err)
		require.Empty(t, faults)
		require.NoError(t, ro.Close())
		t.Logf("round %d: %d acknowledged before the power failed, %d stored", round, len(before), len(stored))
		acked = before
	}
}

// What is not synced is really lost by losePower, or the test above shows nothing.
func TestDisk_LosesWhatWasNotSynced(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(d.dir, "f")
	body := bytes.Repeat(binary.BigEndian.AppendUint32(nil, 0xfeed), 4096)
	require.NoError(t, os.WriteFile(path, body, 0o600))
	d.losePower(t)
	err := os.WriteFile(path, body, 0o600)
	require.ErrorIs(t, err, unix.EIO)
	d.restart(t)
	got, err := os.ReadFile(path)
	require.True(t, err != nil && strings.Contains(err.Error(), "no such file") || len(got) == 0)
}
