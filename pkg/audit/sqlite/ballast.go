package sqlite

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ballast is a file of reserved blocks beside the store. When the disk is full it
// is given up, so that records of the remediation of a full disk can be written;
// it is made again when there is room.
type ballast struct {
	path string
	size int64

	mu   sync.Mutex // guards next
	next time.Time  // no attempt to make it again before
}

// restoreEvery bounds how often making the ballast again is tried.
const restoreEvery = time.Minute

func newBallast(path string, size int64) *ballast {
	b := &ballast{path: path, size: size}
	b.restore()
	return b
}

// release gives the ballast up; false when there was none.
func (b *ballast) release() bool {
	if b.size <= 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = time.Now().Add(restoreEvery)
	return os.Remove(b.path) == nil
}

// restore makes the ballast when it is missing and as much again stays free, so
// that making it does not itself fill the disk.
func (b *ballast) restore() {
	if b.size <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.next) {
		return
	}
	b.next = time.Now().Add(restoreEvery)
	if info, err := os.Stat(b.path); err == nil && info.Size() == b.size {
		return
	}
	var fs unix.Statfs_t
	if unix.Statfs(filepath.Dir(b.path), &fs) != nil || int64(fs.Bavail)*fs.Bsize < 2*b.size {
		return
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	// Blocks are really allocated: a sparse file would reserve nothing.
	if unix.Fallocate(int(f.Fd()), 0, 0, b.size) != nil {
		_ = os.Remove(b.path)
	}
}
