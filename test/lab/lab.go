package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/client"
)

// TB is what New needs of testing.TB.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(f func())
}

// Options of a lab. The zero value is fine.
type Options struct {
	// Project is the Compose project; default lab-<run>.
	Project string
	// ComposeV1 names containers project_service_1 and leaves out the labels
	// that only Compose v2 sets, depends_on among them.
	ComposeV1 bool
	// DockerHost of the engine; default DOCKER_HOST or the usual socket.
	DockerHost string
	// Logf is told what the lab does; default: nobody.
	Logf func(format string, args ...any)
}

// Lab is one run. Its methods may be called from several goroutines.
type Lab struct {
	// Run identifies the lab: 8 hexadecimal digits.
	Run string
	// Project is the Compose project of its services.
	Project string
	// Docker is the lab's own client, past any proxy.
	Docker *client.Client
	// Dir is a directory of this lab, removed by Close.
	Dir string

	options Options
	watch   *watcher

	mu       sync.Mutex
	services map[string]ServiceSpec // guarded by mu
	network  string                 // guarded by mu; id of the project's network, made by the first container
	closers  []func(context.Context) error
	closed   bool // guarded by mu
}

// closeTimeout bounds the clean-up of a test, whose own context may be over.
const closeTimeout = time.Minute

// New starts a lab that is closed, and checked for leftovers, when the test
// ends, failed or not. Without a Docker Engine it fails the test.
func New(t TB, options ...Options) *Lab {
	t.Helper()
	var o Options
	if len(options) > 0 {
		o = options[0]
	}
	if o.Logf == nil {
		o.Logf = t.Logf
	}
	l, err := Start(context.Background(), o)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Errorf("lab: close: %v", err)
		}
	})
	return l
}

// Start starts a lab without a test; the caller closes it. Its error names the
// engine that could not be reached.
func Start(ctx context.Context, options Options) (*Lab, error) {
	docker, err := newDocker(options.DockerHost)
	if err != nil {
		return nil, err
	}
	if _, err := docker.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("no Docker Engine at %s (start it: `make engines`): %w", docker.DaemonHost(), err), docker.Close())
	}
	if options.Logf == nil {
		options.Logf = func(string, ...any) {}
	}
	run, err := newRun()
	if err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	if options.Project == "" {
		options.Project = "lab-" + run
	}
	l := &Lab{Run: run, Project: options.Project, Docker: docker, options: options, services: map[string]ServiceSpec{}}
	if err := sweepOnce(ctx, docker); err != nil {
		options.Logf("lab: sweep: %v", err)
	}
	if l.Dir, err = makeDir(run); err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	if l.watch, err = startWatcher(ctx, docker, run); err != nil {
		return nil, errors.Join(err, os.RemoveAll(l.Dir), docker.Close())
	}
	return l, nil
}

// newDocker speaks the version that the engine speaks.
func newDocker(host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	return client.NewClientWithOpts(opts...)
}

// makeDir makes the run's directory, with its owner's name for Sweep.
func makeDir(run string) (string, error) {
	who, err := self()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", dirPrefix+run+"-")
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, ownerFile), []byte(who.String()), 0o600)
}

func newRun() (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// onClose runs f when the lab is closed, last in first out, before the
// containers are removed.
func (l *Lab) onClose(f func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// Close ends the lab's processes, removes its containers, network, volumes and
// directory, and looks that nothing is left. A second call does nothing.
func (l *Lab) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	closers := slices.Clone(l.closers)
	l.mu.Unlock()

	var errs []error
	for _, f := range slices.Backward(closers) {
		errs = append(errs, f(ctx))
	}
	l.watch.stop()
	errs = append(errs, removeRun(ctx, l.Docker, l.Run), os.RemoveAll(l.Dir))
	left, err := Leftovers(ctx, l.Docker, l.Run)
	errs = append(errs, err)
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("left behind: %v", left))
	}
	return errors.Join(append(errs, l.Docker.Close())...)
}
