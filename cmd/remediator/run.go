package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/client"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// runPolicy starts a policy for a person: through all guards, like an alert.
type runPolicy struct {
	daemon         daemonFlags
	policy, reason *string
	labels         *[]string
	json, wait     *bool
}

func (c *runPolicy) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("run", "Start a policy yourself: a synthetic episode through all guards. Exit 1 when they refuse.")
	c.daemon.register(cl)
	c.policy = cl.Arg("POLICY", "The policy.").Required().String()
	c.labels = cl.Flag("label", "A label of the episode; may be repeated.").PlaceHolder("NAME=VALUE").Strings()
	c.reason = cl.Flag("reason", "Why; recorded.").Required().String()
	c.json = cl.Flag("json", "Print JSON.").Bool()
	c.wait = cl.Flag("wait", "Wait until it is closed; exit 1 unless it succeeded, or there was nothing to do.").Bool()
	return cl
}

// ran is what `run --json` prints: the daemon's answer and, after --wait, the end.
type ran struct {
	handlers.RunAnswer
	Outcome string `json:"outcome,omitempty"`
}

// goodEnds are the outcomes after which `run --wait` ends with 0.
var goodEnds = []string{"succeeded", "unverified", "planned", "no_action"}

func (c *runPolicy) run(ctx context.Context, s streams) error {
	set, err := labelSet(*c.labels)
	if err != nil {
		return usageError{err}
	}
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	var answer ran
	req := handlers.RunRequest{Policy: *c.policy, Labels: set, Reason: *c.reason}
	err = cl.Do(ctx, "POST", "/api/v1/remediations", req, &answer.RunAnswer)
	if p := (*problem.Problem)(nil); errors.As(err, &p) && p.Code == "refused" {
		answer.RunAnswer, err = refusedAnswer(p)
	}
	if err != nil {
		return err
	}
	w := painter{s.out, s.colour}
	if !*c.json {
		c.print(w, answer.RunAnswer)
	}
	if *c.wait && answer.Started() {
		var closed *audit.Record
		if closed, err = follow(ctx, cl, answer.Remediation, s.err); err == nil {
			answer.Outcome = closed.Outcome
			if !*c.json {
				printOutcome(w, closed)
			}
		}
	}
	if *c.json {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		err = errors.Join(err, enc.Encode(answer))
	}
	if err == nil && (!answer.Started() || *c.wait && !slices.Contains(goodEnds, answer.Outcome)) {
		return errNo
	}
	return err
}

func labelSet(pairs []string) (map[string]string, error) {
	set := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--label %q: want NAME=VALUE", pair)
		}
		if _, twice := set[name]; twice {
			return nil, fmt.Errorf("--label %s is given twice", name)
		}
		set[name] = value
	}
	return set, nil
}

// refusedAnswer is what the guards said, out of the problem that says they refused.
func refusedAnswer(p *problem.Problem) (handlers.RunAnswer, error) {
	var a handlers.RunAnswer
	b, err := json.Marshal(p.Extensions)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil || a.Verdict == "" {
		return a, p // a daemon that says no more than that
	}
	return a, nil
}

func (c *runPolicy) print(w painter, a handlers.RunAnswer) {
	fmt.Fprintf(w, "%s  %s\n", w.paint(bold, printable(a.Policy)), a.Mode)
	fmt.Fprintf(w, "  verdict      %s  %s: %s\n", w.paint(verdictColour(a.Verdict), a.Verdict), a.Reason.Code, printable(a.Reason.Text))
	refusing := slices.DeleteFunc(slices.Clone(a.Guards), func(g audit.Guard) bool { return g.Verdict == "execute" })
	printGuards(w, refusing)
	if !a.Started() {
		fmt.Fprintln(w, "  nothing was started, and nothing will start later")
		return
	}
	fmt.Fprintf(w, "  remediation  %s\n", a.Remediation)
	if a.Verdict == "await_approval" {
		fmt.Fprintf(w, "  look at its plan and approve it:\n    %s\n", c.daemon.line("approve", a.Remediation))
	}
}

func printOutcome(w painter, r *audit.Record) {
	colour, text := red, ""
	if slices.Contains(goodEnds, r.Outcome) {
		colour = green
	}
	if r.Reason != nil {
		text = r.Reason.Text
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	fmt.Fprintf(w, "  outcome      %s  %s\n", w.paint(colour, r.Outcome), printable(text))
}

// follow tells what a remediation does until it is closed, and gives that record.
func follow(ctx context.Context, cl *client.Client, id string, progress io.Writer) (*audit.Record, error) {
	query := url.Values{"remediation": {id}, "follow": {"1"}}
	stream, err := cl.Stream(ctx, "GET", "/api/v1/audit?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for dec := json.NewDecoder(stream); ; {
		var r audit.Record
		if err := dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("lost sight of %s, which may go on: %w: see remediator status", id, err)
		}
		if r.Type == audit.RemediationClosed {
			return &r, nil
		}
		fmt.Fprintln(progress, printable(r.Human()))
	}
}
