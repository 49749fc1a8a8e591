package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/client"
)

// daemonFlags say where the running daemon is.
type daemonFlags struct{ config, url, tokenFile, caFile *string }

func (d *daemonFlags) register(c *kingpin.CmdClause) {
	d.config = configFlag(c)
	d.url = c.Flag("url", "The daemon's URL. Default: the control socket beside its store.").String()
	d.tokenFile = c.Flag("token-file", "File with the bearer token, with --url.").String()
	d.caFile = c.Flag("ca-file", "Certificate that signed the daemon's, with --url.").String()
}

func (d *daemonFlags) client() (*client.Client, error) {
	o := client.Options{URL: *d.url, TokenFile: *d.tokenFile, CAFile: *d.caFile}
	if o.URL == "" {
		file, err := config.Load(*d.config, config.Options{})
		if err != nil {
			return nil, fmt.Errorf("%w\nname the daemon with --url, or its configuration with --config.file", err)
		}
		o.Socket = app.SocketPath(file)
	}
	return client.New(o)
}

func (d *daemonFlags) post(ctx context.Context, path string, body any) error {
	c, err := d.client()
	if err != nil {
		return err
	}
	return c.Do(ctx, "POST", path, body, nil)
}

// line is a command for the same daemon, to be copied into a shell.
func (d *daemonFlags) line(words ...string) string {
	words = append([]string{"remediator"}, words...)
	for _, f := range []struct{ name, value, missing string }{
		{"--config.file", *d.config, "config.yaml"}, {"--url", *d.url, ""}, {"--token-file", *d.tokenFile, ""}, {"--ca-file", *d.caFile, ""},
	} {
		if f.value != f.missing && (f.name != "--config.file" || *d.url == "") {
			words = append(words, f.name, f.value)
		}
	}
	return shell(words...)
}

// remediationPath is the API's path of one remediation.
func remediationPath(id string) string { return "/api/v1/remediations/" + url.PathEscape(id) }

// reasonBody is a request that says no more than why.
type reasonBody struct {
	Reason string `json:"reason,omitempty"`
}

// scopeFlags choose what a pause covers.
type scopeFlags struct{ policy, target *string }

func (f *scopeFlags) register(c *kingpin.CmdClause) {
	f.policy = c.Flag("policy", "Only this policy.").String()
	f.target = c.Flag("target", "Only this target, such as docker:local/api.").String()
}

func (f *scopeFlags) scope() handlers.Scope {
	return handlers.Scope{Policy: *f.policy, Target: *f.target}
}

// text names the scope for people, args as flags.
func (f *scopeFlags) text() string {
	switch {
	case *f.policy != "":
		return "policy " + *f.policy
	case *f.target != "":
		return "target " + *f.target
	}
	return "everything"
}

func (f *scopeFlags) args() []string {
	switch {
	case *f.policy != "":
		return []string{"--policy", *f.policy}
	case *f.target != "":
		return []string{"--target", *f.target}
	}
	return nil
}

// pause is the kill switch.
type pause struct {
	daemon                       daemonFlags
	scope                        scopeFlags
	reason, duration, untilClock *string
}

func (c *pause) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("pause", "Stop all effects, or those of one policy or target, until resumed.")
	c.daemon.register(cl)
	c.scope.register(cl)
	c.reason = cl.Flag("reason", "Why; recorded.").Required().String()
	c.duration = cl.Flag("for", "End by itself after this long, such as 90m or 1d.").PlaceHolder("DURATION").String()
	c.untilClock = cl.Flag("until", "End by itself then: 06:30 (the next, local time), or 2026-01-31T06:30:00Z.").PlaceHolder("TIME").String()
	return cl
}

func (c *pause) run(ctx context.Context, s streams) error {
	now := time.Now()
	until, err := pauseEnd(*c.duration, *c.untilClock, now)
	if err != nil {
		return usageError{err}
	}
	req := handlers.PauseRequest{Scope: c.scope.scope(), Reason: *c.reason}
	text := "until resumed: " + c.daemon.line(append([]string{"resume"}, c.scope.args()...)...)
	if !until.IsZero() {
		req.Until, text = &until, "until "+clock(until, now)
	}
	if err := c.daemon.post(ctx, "/api/v1/pause", req); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "paused", c.scope.text(), text)
	return nil
}

// pauseEnd is when a pause ends; zero: when somebody resumes. A pause that would end
// at once is refused: it would look like one.
func pauseEnd(duration, until string, now time.Time) (time.Time, error) {
	switch {
	case duration != "" && until != "":
		return time.Time{}, errors.New("--for and --until exclude each other")
	case duration != "":
		d, err := model.ParseDuration(duration)
		if err != nil || d <= 0 {
			return time.Time{}, fmt.Errorf("--for %q: want a duration such as 90m or 1d", duration)
		}
		return now.Add(time.Duration(d)), nil
	case until == "":
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, until); err == nil {
		if !t.After(now) {
			return time.Time{}, fmt.Errorf("--until %s is in the past", until)
		}
		return t, nil
	}
	t, err := time.ParseInLocation("15:04", until, now.Location())
	if err != nil {
		return time.Time{}, fmt.Errorf("--until %q: want 06:30 or 2026-01-31T06:30:00Z", until)
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at, nil
}

// resume lifts a pause.
type resume struct {
	daemon daemonFlags
	scope  scopeFlags
	reason *string
}

func (c *resume) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("resume", "Lift a pause. What waited is decided again, nothing is replayed.")
	c.daemon.register(cl)
	c.scope.register(cl)
	c.reason = cl.Flag("reason", "Why; recorded.").String()
	return cl
}

func (c *resume) run(ctx context.Context, s streams) error {
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	req := handlers.ResumeRequest{Scope: c.scope.scope(), Reason: *c.reason}
	if err := cl.Do(ctx, "POST", "/api/v1/resume", req, nil); err != nil {
		return err
	}
	var st handlers.Status
	if err := cl.Do(ctx, "GET", "/api/v1/status", nil, &st); err != nil {
		fmt.Fprintln(s.out, "resumed", c.scope.lifted())
		return err
	}
	fmt.Fprintln(s.out, "resumed", c.scope.lifted()+stillPaused(st.Pauses))
	for _, p := range st.Pauses { // a pause of everything outlives the end of one policy's
		still := scopeFlags{&p.Policy, &p.Target}
		fmt.Fprintln(s.err, "to lift that too:", c.daemon.line(append([]string{"resume"}, still.args()...)...))
	}
	return nil
}

// lifted names the pause that is over: others may hold.
func (f *scopeFlags) lifted() string {
	if text := f.text(); len(f.args()) > 0 {
		return text
	}
	return "the global pause"
}

// stillPaused names what is, for the end of a line.
func stillPaused(pauses []handlers.Pause) string {
	var names []string
	for _, p := range pauses {
		names = append(names, printable((&scopeFlags{&p.Policy, &p.Target}).text()))
	}
	if len(names) == 0 {
		return ""
	}
	return "; still paused: " + strings.Join(names, ", ")
}

// resumeHeld lets a held remediation go on.
type resumeHeld struct {
	daemon daemonFlags
	id     *string
}

func (c *resumeHeld) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("resume-held", "Let a held remediation go on with its next step.")
	c.daemon.register(cl)
	c.id = cl.Arg("ID", "The remediation.").Required().String()
	return cl
}

func (c *resumeHeld) run(ctx context.Context, s streams) error {
	if err := c.daemon.post(ctx, remediationPath(*c.id)+"/resume", struct{}{}); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "resumed", *c.id)
	return nil
}

// cancel ends a held remediation.
type cancel struct {
	daemon     daemonFlags
	id, reason *string
}

func (c *cancel) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("cancel", "End a held remediation; its on_failure steps run.")
	c.daemon.register(cl)
	c.id = cl.Arg("ID", "The remediation.").Required().String()
	c.reason = cl.Flag("reason", "Why; recorded.").String()
	return cl
}

func (c *cancel) run(ctx context.Context, s streams) error {
	if err := c.daemon.post(ctx, remediationPath(*c.id)+"/cancel", reasonBody{*c.reason}); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "cancelled", *c.id)
	return nil
}

// health is the container's health check: the image has no other program.
type health struct{ daemon daemonFlags }

func (c *health) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("health", "Exit 0 when the daemon answers that it is healthy (the image's health check).")
	c.daemon.register(cl)
	return cl
}

func (c *health) run(ctx context.Context, _ streams) error {
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	body, err := cl.Stream(ctx, "GET", "/-/healthy", nil)
	if err != nil {
		return err
	}
	return body.Close()
}
