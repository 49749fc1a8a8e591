// Command remediator is called by Alertmanager and carries out runbooks: guarded,
// confirmed, verified and recorded. See README.md and docs/.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/app"
)

// Exit codes (design §8).
const (
	exitFine  = 0
	exitNo    = 1
	exitUsage = 2
)

// errNo says that the answer is no; everything worth saying has been printed.
var errNo = errors.New("no")

// errUsage says that the command cannot be carried out as it was given; everything
// worth saying has been printed.
var errUsage = errors.New("usage")

// usageError is a mistake in the arguments that kingpin could not find.
type usageError struct{ error }

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	colour   bool
}

// command is one subcommand: its flags are declared by register, run does it.
type command interface {
	register(*kingpin.Application) *kingpin.CmdClause
	run(ctx context.Context, io streams) error
}

// commands in the order of the help; the first is the default.
func commands() []command {
	return []command{
		&serve{}, &check{}, &plan{}, &auditExport{}, &auditVerify{}, &auditFollow{},
		&status{}, &runPolicy{}, &approve{}, &reject{}, &clearTarget{},
		&pause{}, &resume{}, &resumeHeld{}, &cancel{}, &health{},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, colour: colourful(os.Stdout)}
	os.Exit(run(ctx, os.Args[1:], s)) //nolint:gocritic // stop only restores signals, which end with the process
}

// run is the program without its process: the same in production and in tests.
func run(ctx context.Context, args []string, s streams) int {
	ka := kingpin.New("remediator", "Called by Alertmanager: carries out runbooks, guarded, confirmed, verified and recorded.")
	ka.UsageWriter(s.err)
	ka.ErrorWriter(s.err)
	exited := -1
	ka.Terminate(func(code int) { exited = code })
	ka.HelpFlag.Short('h')
	ka.Version(app.Version())
	byName := map[string]command{}
	audited := auditClause(ka)
	for i, c := range commands() {
		var cl *kingpin.CmdClause
		if a, ok := c.(interface {
			registerUnder(*kingpin.CmdClause) *kingpin.CmdClause
		}); ok {
			cl = a.registerUnder(audited)
		} else {
			cl = c.register(ka)
		}
		if i == 0 {
			cl.Default()
		}
		byName[cl.FullCommand()] = c
	}
	name, err := ka.Parse(spelled(args))
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "remediator: %v, try --help\n", err)
		return exitUsage
	}
	return ended(byName[name].run(ctx, s), s.err)
}

// ended is the exit code of a command, whose error is printed unless that was done.
func ended(err error, w io.Writer) int {
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errNo):
		return exitNo
	case errors.Is(err, errUsage):
		return exitUsage
	}
	if wrong := (usageError{}); errors.As(err, &wrong) {
		fmt.Fprintf(w, "remediator: %v, try --help\n", wrong)
		return exitUsage
	}
	fmt.Fprintf(w, "remediator: %v\n", err)
	return exitNo
}

// stdinFile stands for - among the arguments: kingpin takes that for an empty one.
const stdinFile = "(standard input)"

func spelled(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if a == "-" {
			out[i] = stdinFile
		}
	}
	return out
}

// colourful says whether a stream is a terminal that wants colours.
func colourful(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
