package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that the lab runs beside the containers. It dies with
// the process of the lab, however that ends.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed once it was waited for
	err  error         // of Wait; read after done
}

// startProcess starts the program. Linux sends the death signal when the thread
// that forked ends, so that this thread is kept until the program has ended.
func startProcess(name string, args ...string) (*process, error) {
	p := &process{out: newOutput(), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		p.cmd = exec.Command(name, args...) //nolint:noctx // it outlives the call; stop ends it
		p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			p.out.end()
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop asks it to end, and insists after 5 seconds or when ctx is over.
func (p *process) stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-patience.Done():
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// signal tolerates that it has ended: os.Process knows, a bare pid would not.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !strings.Contains(err.Error(), "already finished") {
		return err
	}
	return nil
}

// waitLog waits for a line of its output that holds the text. When the program
// ends first the error carries its output.
func (p *process) waitLog(ctx context.Context, text string) (string, error) {
	line, err := p.out.waitLine(ctx, text)
	if err != nil {
		return "", fmt.Errorf("waiting for %q: %w; output: %s", text, err, p.out)
	}
	return line, nil
}

// output keeps what a program writes and tells who waits for a line.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer  // guarded by mu
	ended   bool          // guarded by mu
	changed chan struct{} // guarded by mu
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

var errEnded = errors.New("the program ended")

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	close(o.changed)
	o.changed = make(chan struct{})
}

// String is everything written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) waitLine(ctx context.Context, text string) (string, error) {
	for {
		o.mu.Lock()
		all, ended, changed := o.text.String(), o.ended, o.changed
		o.mu.Unlock()
		for line := range strings.SplitSeq(all, "\n") {
			if strings.Contains(line, text) {
				return line, nil
			}
		}
		if ended {
			return "", errEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
