package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The space reserved ahead has two parts. A quarter is free pages inside the store
// (and the WAL, which is as large and never shrinks while the store is open): no
// other program can take it, however fast it fills the disk. The rest is a ballast
// file beside the store that is given up on "disk full": it also lets a daemon
// start on a full disk, when the WAL has yet to be made.
const (
	restoreEvery = time.Minute // at most this often the reserve is looked after
	growChunk    = 1 << 20     // free pages are made again when this many bytes are missing
)

// reserve looks after both parts. The writer alone uses it, but for held.
type reserve struct {
	path    string
	ballast int64
	inside  int64

	mu   sync.Mutex // guards next
	next time.Time  // nothing is restored before
}

func newReserve(storePath string, size int64) *reserve {
	if size == 0 {
		size = DefaultReserve
	}
	if size < 0 {
		return &reserve{path: storePath + ".reserve"}
	}
	return &reserve{path: storePath + ".reserve", inside: size / 4, ballast: size - size/4}
}

// release gives the ballast up; false when there was none.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Now().Add(restoreEvery)
	return os.Remove(r.path) == nil
}

// held says whether the ballast is there in full.
func (r *reserve) held() bool {
	var st unix.Stat_t
	return unix.Stat(r.path, &st) == nil && st.Size == r.ballast && st.Blocks*512 >= r.ballast
}

// due says whether it is time to look after the reserve.
func (r *reserve) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ballast == 0 || time.Now().Before(r.next) {
		return false
	}
	r.next = time.Now().Add(restoreEvery)
	return true
}

// restore makes what is missing of the reserve where that leaves as much again
// free, so that the reserve is never what fills the disk. Its errors are the
// normal state of a full disk: they show in held.
func (r *reserve) restore(ctx context.Context, db *sql.DB) error {
	if !r.held() {
		if !r.room(r.ballast) {
			return nil
		}
		if err := r.makeBallast(); err != nil {
			return err
		}
	}
	return r.growInside(ctx, db)
}

func (r *reserve) room(size int64) bool {
	var fs unix.Statfs_t
	return unix.Statfs(filepath.Dir(r.path), &fs) == nil && int64(fs.Bavail)*fs.Bsize >= 2*size
}

// makeBallast allocates real blocks: a sparse file would reserve nothing.
func (r *reserve) makeBallast() error {
	_ = os.Remove(r.path) // of another size, or with holes
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("reserve %s: %w", r.path, err)
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), 0, 0, r.ballast)
	if err != nil { // not every file system can: write what does not compress
		noise := make([]byte, 64<<10)
		for n := int64(0); n < r.ballast; n += int64(len(noise)) {
			_, _ = rand.Read(noise)
			if _, err = f.WriteAt(noise[:min(int64(len(noise)), r.ballast-n)], n); err != nil {
				break
			}
		}
	}
	if err != nil {
		_ = os.Remove(r.path)
		return fmt.Errorf("reserve %s: %w", r.path, err)
	}
	return nil
}

// growInside keeps free pages in the store. A page becomes free by being written
// and deleted; the checkpoint between the two gives it real blocks in the file.
func (r *reserve) growInside(ctx context.Context, db *sql.DB) error {
	var free int64
	if err := db.QueryRowContext(ctx, "select freelist_count * page_size from pragma_freelist_count, pragma_page_size").Scan(&free); err != nil {
		return err
	}
	missing := r.inside - free
	if missing < growChunk && free > 0 || missing <= 0 || !r.room(2*missing) {
		return nil
	}
	if _, err := db.ExecContext(ctx, "insert into reserve values (randomblob(?))", missing); err != nil {
		return err
	}
	for _, step := range []string{"pragma wal_checkpoint(passive)", "delete from reserve"} {
		if _, err := db.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	return nil
}
