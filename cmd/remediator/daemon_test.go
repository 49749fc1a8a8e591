package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// daemon is the real program, serving in a process of its own.
type daemon struct {
	address string // what it listens on; empty until known

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // set before done is closed

	mu      sync.Mutex
	log     strings.Builder // guarded by mu
	changed chan struct{}   // guarded by mu; closed at each line
}

// startDaemon runs `remediator serve` in dir and returns when it listens, or when
// it has ended without.
func startDaemon(ctx context.Context, dir string, env []string, address string, args ...string) (*daemon, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	program, err := exec.LookPath("remediator")
	if err != nil {
		return nil, err
	}
	args = append([]string{"serve", "--log.format", "json", "--web.listen-address", address}, args...)
	d := &daemon{cmd: exec.Command(program, args...), done: make(chan struct{}), changed: make(chan struct{})} //nolint:noctx // it is ended by name
	d.cmd.Dir, d.cmd.Env = dir, env
	logs, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go d.read(logs)
	line, err := d.waitLog(ctx, `"msg":"listening"`)
	if err != nil {
		d.kill()
		return nil, fmt.Errorf("the daemon does not listen: %w\n%s", err, d.lastWords())
	}
	var said struct{ Address string }
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		d.kill()
		return nil, err
	}
	d.address = said.Address
	return d, nil
}

func (d *daemon) read(logs io.Reader) {
	lines := bufio.NewScanner(logs)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		d.mu.Lock()
		d.log.WriteString(lines.Text() + "\n")
		close(d.changed)
		d.changed = make(chan struct{})
		d.mu.Unlock()
	}
	d.err = d.cmd.Wait()
	close(d.done)
}

func (d *daemon) logs() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// lastWords is the end of the log, for failures.
func (d *daemon) lastWords() string {
	log := d.logs()
	return log[max(0, len(log)-8000):]
}

// waitLog waits for a line that holds the text.
func (d *daemon) waitLog(ctx context.Context, text string) (string, error) {
	for {
		d.mu.Lock()
		log, changed := d.log.String(), d.changed
		d.mu.Unlock()
		for line := range strings.Lines(log) {
			if strings.Contains(line, text) {
				return line, nil
			}
		}
		select {
		case <-changed:
		case <-d.done:
			if log == d.logs() {
				return "", errors.New("it ended")
			}
		case <-ctx.Done():
			return "", fmt.Errorf("no line %q: %w", text, context.Cause(ctx))
		}
	}
}

// signal sends one, and fails when the process has ended.
func (d *daemon) signal(s syscall.Signal) error { return d.cmd.Process.Signal(s) }

// wait waits for the process's end and says how it ended.
func (d *daemon) wait(ctx context.Context) (*os.ProcessState, error) {
	select {
	case <-d.done:
		return d.cmd.ProcessState, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the daemon does not end: %w", context.Cause(ctx))
	}
}

// stop asks it to end and wants it to end well.
func (d *daemon) stop(ctx context.Context) error {
	if err := d.signal(syscall.SIGTERM); err != nil {
		return err
	}
	state, err := d.wait(ctx)
	if err == nil && !state.Success() {
		err = fmt.Errorf("the daemon ended with %s\n%s", state, d.lastWords())
	}
	return err
}

// kill ends it as kill -9 does. Killing twice is fine.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}
