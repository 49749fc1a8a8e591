package handlers

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// acceptBudget is how long a notification may take to become durable.
const acceptBudget = 10 * time.Second

// accepted is the answer to a notification.
type accepted struct {
	Status string `json:"status"`
	Alerts int    `json:"alerts"`
}

// webhook is POST /webhook: decode, make durable, answer. Nothing is acted upon
// here, and no failure of an action is ever an answer of this endpoint.
func (a *api) webhook(w http.ResponseWriter, r *http.Request, _ access.Identity) error {
	n, body, err := readNotification(w, r)
	if err != nil {
		return err
	}
	// A caller that hangs up must not leave the record in doubt.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), acceptBudget)
	defer cancel()
	if err := a.Intake.Accept(ctx, n, body, remote(r)); err != nil {
		if unavailable(err) {
			return err
		}
		// Whatever it was, the notification is not durable: a 500 is retried as
		// well, but 503 says what to think of it.
		return problem.Unavailable(retryAfter, "not_recorded", "the notification could not be recorded: send it again later").Because(err)
	}
	return writeJSON(w, accepted{Status: "accepted", Alerts: len(n.Alerts)})
}

// readNotification reads and decodes the body of the webhook and of plan.
func readNotification(w http.ResponseWriter, r *http.Request) (*alert.Notification, []byte, error) {
	if r.ContentLength > alert.MaxBody {
		drain(r)
		return nil, nil, problem.New(http.StatusRequestEntityTooLarge, alert.CodeTooLarge, "the body is larger than %d bytes", alert.MaxBody)
	}
	body, err := alert.Read(r.Body)
	if err != nil {
		drain(r)
		return nil, nil, err
	}
	bodyRead(w)
	n, err := alert.Decode(body)
	if err != nil {
		return nil, nil, err
	}
	return n, body, nil
}

// maxDrain is how much of a refused body is still read.
const maxDrain = 64 << 20

// drain reads on, into nothing. A sender that is still writing when the answer
// comes sees its connection reset instead of the 413, and Alertmanager retries
// what it takes for trouble of the network, for ever.
func drain(r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain) // the read timeout ends it at the latest
}

// remote is the caller's address without its port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "control.sock"
	}
	return host
}
