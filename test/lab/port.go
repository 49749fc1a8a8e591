package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are taken below the range from which the kernel hands out its own (from
// 32768), and are locked between labs: a container keeps its port over a
// restart, while nobody listens there for a moment.
const (
	firstPort = 18000
	lastPort  = 32000
)

// Port reserves a free port of 127.0.0.1 for as long as the lab is open.
func (l *Lab) Port(ctx context.Context) (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		f, err := os.OpenFile(filepath.Join(cacheDir(), fmt.Sprintf("port-%d.lock", port)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return 0, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !free(ctx, port) {
			if err := f.Close(); err != nil {
				return 0, err
			}
			continue
		}
		l.onClose(func(context.Context) error { return errors.Join(os.Remove(f.Name()), f.Close()) })
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

func free(ctx context.Context, port int) bool {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
