package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Call is one webhook call that a Receiver got.
type Call struct {
	Header http.Header
	Body   []byte
}

// Receiver records webhook calls, in place of remediator. It answers 200, or
// what Answer says.
type Receiver struct {
	// URL to be called.
	URL string

	mu      sync.Mutex
	answer  int           // guarded by mu
	calls   []Call        // guarded by mu
	changed chan struct{} // guarded by mu
}

// Receiver starts one on a free port of the loopback.
func (l *Lab) Receiver(ctx context.Context) (*Receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{URL: "http://" + listener.Addr().String() + "/webhook", answer: http.StatusOK, changed: make(chan struct{})}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Close
	}()
	l.onClose(func(context.Context) error {
		err := server.Close()
		<-done
		return err
	})
	return r, nil
}

// Answer sets the status of all further answers.
func (r *Receiver) Answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

// ServeHTTP records the call.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender is gone
	}
	r.mu.Lock()
	r.calls = append(r.calls, Call{Header: req.Header, Body: body})
	answer := r.answer
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	w.WriteHeader(answer)
}

// Wait returns the calls so far once there are at least n.
func (r *Receiver) Wait(ctx context.Context, n int) ([]Call, error) {
	for {
		r.mu.Lock()
		calls, changed := slices.Clip(r.calls), r.changed
		r.mu.Unlock()
		if len(calls) >= n {
			return calls, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return calls, fmt.Errorf("waiting for webhook call %d, got %d: %w", n, len(calls), context.Cause(ctx))
		}
	}
}
