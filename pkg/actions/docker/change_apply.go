package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// Details of a planned container that Apply compares with what it finds.
const (
	detailStatus   = "status"
	detailFinished = "finished_at"
)

// Apply changes the planned containers, one after the other, by their ids: what has
// come since is not touched, and what is gone is not looked for. Right before each
// container is touched it is looked at again; see consent.
func (a *change) Apply(ctx context.Context, _ actions.Scope, p actions.Plan, h actions.Hands) (actions.Result, error) {
	hand, err := actions.Hand[Changer](h, "docker:"+a.engine.Name)
	if err != nil {
		return actions.Result{}, err
	}
	var done, left []string
	for _, o := range p.Objects {
		if err := ctx.Err(); err != nil {
			return a.result(p, done), a.partly(done, o, refuse(actions.CodeFailed, "not begun: %w", err))
		}
		c, why, err := a.second(ctx, p, o)
		if err == nil && why == "" {
			err = a.one(ctx, hand, c)
		}
		switch {
		case err != nil:
			return a.result(p, done), a.partly(done, o, err)
		case why != "":
			left = append(left, o.Name+" "+why)
		default:
			done = append(done, o.Name)
		}
	}
	res := a.result(p, done)
	res.OK, res.Text = true, a.summary(done, left)
	return res, nil
}

func (a *change) summary(done, left []string) string {
	var parts []string
	if len(done) > 0 || len(left) == 0 {
		past := map[string]string{"restart": "restarted", "start": "started", "stop": "stopped"}[a.verb]
		parts = append(parts, past+": "+strings.Join(done, ", "))
	}
	if len(left) > 0 {
		parts = append(parts, "left alone: "+strings.Join(left, ", "))
	}
	return strings.Join(parts, "; ")
}

func (a *change) result(p actions.Plan, done []string) actions.Result {
	return actions.Result{Outputs: map[string]any{"service": p.Args["service"], "containers": append([]string{}, done...)}}
}

// second looks at a planned container once more and says why it needs nothing any
// more, or must not be touched.
func (a *change) second(ctx context.Context, p actions.Plan, o actions.Object) (Container, string, error) {
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c, err := a.engine.reader.Inspect(look, o.ID)
	switch code := actions.CodeOf(err); {
	case err == nil:
		why, err := a.consent(fmt.Sprint(p.Args["service"]), c, o)
		return c, why, err
	case code == actions.CodeTargetNotFound, code == actions.CodeUnreachable:
		return c, "", err
	case code == actions.CodeTimeout: // of the look: the container has not been touched
		return c, "", refuse(actions.CodeUnreachable, "nothing was done: %w", err)
	default:
		return c, "", err
	}
}

// consent compares a container with what the guards allowed. What was stopped since
// then was stopped by somebody or something that no guard has judged; what was
// stopped and runs again needs no help.
func (a *change) consent(service string, c Container, o actions.Object) (leave string, err error) {
	ran, now := plannedToRun(o), runs(c.Status)
	if err := usable(service, c); err != nil {
		return "", err
	}
	switch {
	case a.verb == "stop" && !now:
		return "is stopped already", nil
	case a.verb == "stop", ran && now:
		return "", nil
	case !ran && now:
		return "runs again already", nil
	case a.startIt:
		return "", nil
	case ran:
		return "", refuse(actions.CodeStopped, "container %s of %s ran when this was planned and is stopped now (exit code %d), perhaps on purpose: say when_stopped: start to have it started all the same",
			c.Name, service, c.ExitCode)
	case o.Detail[detailFinished] != stamp(c.FinishedAt):
		return "", refuse(actions.CodeStopped, "container %s of %s was started and stopped again since this was planned (exit code %d), perhaps on purpose: say when_stopped: start to have it started all the same",
			c.Name, service, c.ExitCode)
	}
	return "", nil
}

// plannedToRun says whether the container ran when it was planned. A plan that does
// not say counts as yes, with which nothing that is stopped is started.
func plannedToRun(o actions.Object) bool {
	status, ok := o.Detail[detailStatus].(string)
	return !ok || runs(status)
}

// one changes one container. The call is not cut off when the caller gives up: it
// has a deadline of its own, longer than the engine's.
func (a *change) one(ctx context.Context, hand Changer, c Container) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.patience(c)+margin)
	defer cancel()
	switch {
	case a.verb == "stop":
		return hand.Stop(call, c.ID, a.timeout)
	case a.verb == "start", !runs(c.Status):
		// A restart of what is stopped is a start, which does no harm to one that
		// somebody starts in this very moment.
		return hand.Start(call, c.ID)
	default:
		return hand.Restart(call, c.ID, a.timeout)
	}
}

// patience is how long the engine waits for a container to stop.
func (a *change) patience(c Container) time.Duration {
	switch {
	case a.timeout != nil:
		return time.Duration(*a.timeout) * time.Second
	case c.StopTimeout != nil:
		return time.Duration(*c.StopTimeout) * time.Second
	default:
		return stopDefault
	}
}

// partly is the error of a change that stopped at a container. Where others were
// changed before it, what the service is now is for the verify checks to say.
func (a *change) partly(done []string, at actions.Object, err error) error {
	code := actions.CodeOf(err)
	text := fmt.Errorf("%s of container %s (%.12s): %w", a.verb, at.Name, at.ID, err)
	if len(done) > 0 {
		code = actions.CodeOutcomeUnknown
		text = fmt.Errorf("%w; done before: %s", text, strings.Join(done, ", "))
	}
	return &actions.Error{Code: code, Err: text}
}
