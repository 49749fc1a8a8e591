package handlers

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// writeBudget is how long a reader of a stream may stall.
const writeBudget = 30 * time.Second

// audit is GET /api/v1/audit: records as JSON lines. follow=1 keeps the response
// open for new ones until the caller goes or the daemon stops.
func (a *api) audit(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	values := r.URL.Query()
	follow, err := parseFollow(values.Get("follow"))
	if err != nil {
		return err
	}
	values.Del("follow")
	filter, err := a.ParseFilter(values)
	if err != nil {
		return problem.New(http.StatusBadRequest, "invalid_query", "%v", err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stopped := a.untilClosing(ctx, cancel)
	defer stopped()

	out := &lines{w: w, buf: bufio.NewWriterSize(w, 32<<10), each: follow}
	read := a.Journal.Scan
	if follow {
		read = a.Journal.Follow
		if err := out.flush(); err != nil { // the headers, so that the caller knows
			return nil
		}
	}
	err = read(ctx, filter, out.write)
	switch {
	case err != nil && !out.begun:
		return err
	case err != nil && ctx.Err() == nil:
		// Half an export must not look like a whole one: cut the connection.
		a.Logger.Error("audit stream broke off", zap.String("request_id", requestID(r)), zap.Error(err))
		panic(http.ErrAbortHandler)
	}
	_ = out.flush()
	return nil
}

// untilClosing cancels when the server shuts down, which would otherwise wait
// for followers for ever.
func (a *api) untilClosing(ctx context.Context, cancel context.CancelFunc) func() {
	end := make(chan struct{})
	go func() {
		defer close(end)
		select {
		case <-a.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return func() { cancel(); <-end }
}

func parseFollow(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	follow, err := strconv.ParseBool(s)
	if err != nil {
		return false, badQuery("follow", "want 1 or 0")
	}
	return follow, nil
}

// lines writes records one a line.
type lines struct {
	w     http.ResponseWriter
	buf   *bufio.Writer
	each  bool // flush after each record
	begun bool
}

func (l *lines) begin() {
	if l.begun {
		return
	}
	l.begun = true
	h := l.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

func (l *lines) write(s audit.Stored) error {
	l.begin()
	if l.buf.Available() < len(s.JSON)+1 {
		l.extend()
	}
	_, _ = l.buf.Write(s.JSON)
	err := l.buf.WriteByte('\n') // bufio keeps the first error
	if l.each && err == nil {
		return l.flush()
	}
	return err
}

// extend gives the coming write its own deadline: a stream may last for days.
func (l *lines) extend() {
	_ = http.NewResponseController(l.w).SetWriteDeadline(time.Now().Add(writeBudget))
}

func (l *lines) flush() error {
	l.begin()
	l.extend()
	if err := l.buf.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}
