package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

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

// status prints what the daemon is doing.
type status struct{ daemon daemonFlags }

func (c *status) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("status", "What a running daemon is doing.")
	c.daemon.register(cl)
	return cl
}

func (c *status) run(ctx context.Context, s streams) error {
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	var out json.RawMessage
	if err := cl.Do(ctx, "GET", "/api/v1/status", nil, &out); err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
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

// pause is the kill switch.
type pause struct {
	daemon   daemonFlags
	scope    scopeFlags
	reason   *string
	duration *time.Duration
}

func (c *pause) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("pause", "Stop all effects, or those of one policy or target, until resumed.")
	c.daemon.register(cl)
	c.scope.register(cl)
	c.reason = cl.Flag("reason", "Why; recorded.").Required().String()
	c.duration = cl.Flag("for", "End by itself after this long.").Duration()
	return cl
}

func (c *pause) run(ctx context.Context, s streams) error {
	req := handlers.PauseRequest{Scope: c.scope.scope(), Reason: *c.reason}
	if *c.duration > 0 {
		until := time.Now().Add(*c.duration)
		req.Until = &until
	}
	if err := c.daemon.post(ctx, "/api/v1/pause", req); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "paused")
	return nil
}

// resume lifts a pause.
type resume struct {
	daemon daemonFlags
	scope  scopeFlags
}

func (c *resume) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("resume", "Lift a pause. What waited is decided again, nothing is replayed.")
	c.daemon.register(cl)
	c.scope.register(cl)
	return cl
}

func (c *resume) run(ctx context.Context, s streams) error {
	if err := c.daemon.post(ctx, "/api/v1/resume", c.scope.scope()); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "resumed")
	return nil
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
	if err := c.daemon.post(ctx, "/api/v1/remediations/"+*c.id+"/resume", struct{}{}); err != nil {
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
	body := struct {
		Reason string `json:"reason,omitempty"`
	}{*c.reason}
	if err := c.daemon.post(ctx, "/api/v1/remediations/"+*c.id+"/cancel", body); err != nil {
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
