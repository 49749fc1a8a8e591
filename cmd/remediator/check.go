package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/config"
)

// check loads the configuration and says what is wrong with it.
type check struct{ config *string }

func (c *check) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("check", "Load the configuration and report every mistake with its place and the fix.")
	c.config = configFlag(cl)
	return cl
}

func (c *check) run(ctx context.Context, io streams) error {
	file, err := config.Load(*c.config, config.Options{})
	if err == nil {
		var built *app.Built
		if built, err = app.Build(ctx, file, false); err == nil {
			defer built.Close()
			for _, w := range file.Warnings() {
				fmt.Fprintf(io.err, "warning: %s\n", w)
			}
			fmt.Fprintf(io.out, "%s is fine: mode %s, %d policies\n", *c.config, built.Snapshot.Mode, len(built.Snapshot.Runbooks))
			return nil
		}
	}
	fmt.Fprintln(io.err, err)
	return errNo
}
