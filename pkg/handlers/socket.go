package handlers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// maxSocketPath is what a sockaddr_un holds, less its terminating zero.
const maxSocketPath = 107

// controlListener is a unix socket that removes its file when it is closed, but
// only its own.
type controlListener struct {
	*net.UnixListener
	path string
	once sync.Once
}

// listenControl listens on a unix socket of mode 0600 at path. The file of a
// daemon that died is replaced; one that still answers is an error. The socket
// is made in a directory that nobody else may enter and moved into place when
// its mode is right, so that there is no moment at which others could connect.
func listenControl(ctx context.Context, path string) (*controlListener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := vacant(ctx, path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(dir, ".c") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	if len(made) > maxSocketPath {
		return nil, fmt.Errorf("control socket: %s is too long for a socket (at most %d bytes): put the store under a shorter path", made, maxSocketPath)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	socket := l.(*net.UnixListener)
	socket.SetUnlinkOnClose(false)
	if err := os.Chmod(made, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	if err := os.Rename(made, path); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return &controlListener{UnixListener: socket, path: path}, nil
}

// vacant tells whether path is free to be taken: nothing there, or the socket
// of a process that is gone.
func vacant(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket: %s exists and is no socket: move it away", path)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("control socket: another remediator answers at %s: stop it first, or give this one another storage.path", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	}
	return fmt.Errorf("control socket: cannot tell whether %s is in use: %w", path, err)
}

// Close stops listening. The file goes first, while it is certainly ours: a
// daemon that starts right now finds the path free or answered, never ours to
// be removed under it.
func (l *controlListener) Close() error {
	var err error
	l.once.Do(func() { err = errors.Join(os.Remove(l.path), l.UnixListener.Close()) })
	return err
}
