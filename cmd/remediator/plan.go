package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/config"
	"github.com/stellarescrow/remediator/pkg/engine"
)

// plan shows what would be done about a webhook payload, and does nothing.
type plan struct {
	config, file, expect, received *string
	json                           *bool
}

func (p *plan) register(a *kingpin.Application) *kingpin.CmdClause {
	c := a.Command("plan", "Show what would be done about a webhook payload: policy, guards, checks, the exact objects. Changes nothing.")
	p.config = configFlag(c)
	p.file = c.Arg("FILE", "The payload as Alertmanager posts it, - for standard input.").Required().String()
	p.json = c.Flag("json", "Print JSON.").Bool()
	p.expect = c.Flag("expect", "Exit with 1 unless this is the verdict for every alert.").PlaceHolder("VERDICT").Enum("execute", "suppress", "defer", "await_approval", "ignore")
	p.received = c.Flag("received", "When the payload arrives, for guards on age: a time, or `now`. Default: with its newest startsAt.").PlaceHolder("TIME").String()
	return c
}

func (p *plan) run(ctx context.Context, s streams) error {
	n, err := p.read(s.in)
	if err != nil {
		return err
	}
	received, err := p.arrival(n)
	if err != nil {
		return err
	}
	file, err := config.Load(*p.config, config.Options{})
	if err != nil {
		fmt.Fprintln(s.err, err)
		return errNo
	}
	planned, err := app.Plan(ctx, file, n, received)
	if err != nil {
		fmt.Fprintln(s.err, err)
		return errNo
	}
	if *p.json {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(planned); err != nil {
			return err
		}
	} else {
		printPlan(painter{s.out, s.colour}, planned)
	}
	for _, one := range planned {
		if *p.expect != "" && one.Verdict != *p.expect {
			fmt.Fprintf(s.err, "expected %s, got %s for %s: %s\n", *p.expect, one.Verdict, one.Alert.Labels["alertname"], one.Reason.Text)
			return errNo
		}
	}
	return nil
}

func (p *plan) read(in io.Reader) (*alert.Notification, error) {
	if *p.file != stdinFile {
		f, err := os.Open(*p.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	body, err := alert.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", *p.file, err)
	}
	n, err := alert.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", *p.file, err)
	}
	return n, nil
}

// arrival is when the payload is taken to arrive. A recorded one is judged as on
// the day it was recorded: nobody knows when that was, but not before its newest alert.
func (p *plan) arrival(n *alert.Notification) (time.Time, error) {
	switch *p.received {
	case "now":
		return time.Now(), nil
	case "":
	default:
		t, err := time.Parse(time.RFC3339, *p.received)
		if err != nil {
			return t, errors.New("--received: want `now` or a time such as 2026-01-31T03:00:00Z")
		}
		return t, nil
	}
	var newest time.Time
	for _, a := range n.Alerts {
		if a.StartsAt.After(newest) {
			newest = a.StartsAt
		}
	}
	return newest, nil
}

// painter writes with colours where they are wanted.
type painter struct {
	io.Writer
	colour bool
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	grey   = "90"
	bold   = "1"
)

func (p painter) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func verdictColour(v string) string {
	switch v {
	case "execute":
		return green
	case "ignore":
		return grey
	default:
		return yellow
	}
}

func printPlan(w painter, planned []engine.Planned) {
	for i, p := range planned {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s %s\n", w.paint(bold, p.Alert.Labels["alertname"]), w.paint(grey, labels(p.Alert)))
		name := p.Policy
		if name == "" {
			name = "none"
		}
		fmt.Fprintf(w, "  policy   %s", name)
		if p.Runbook != "" {
			fmt.Fprintf(w, "  (%s)", p.Runbook)
		}
		fmt.Fprintf(w, "\n  mode     %s\n", p.Mode)
		fmt.Fprintf(w, "  verdict  %s  %s: %s\n", w.paint(verdictColour(p.Verdict), p.Verdict), p.Reason.Code, printable(p.Reason.Text))
		printGuards(w, p.Guards)
		printChecks(w, p)
		if p.Plan != nil {
			printSteps(w, shown(p.Plan))
		}
	}
}

// printGuards prints one guard a line; those that refuse have a mark in front.
func printGuards(w painter, guards []audit.Guard) {
	if len(guards) == 0 {
		return
	}
	fmt.Fprintln(w, "  guards")
	width := 0
	for _, g := range guards {
		width = max(width, len(g.Name))
	}
	for _, g := range guards {
		flag, mark, code := " ", w.paint(green, "pass"), ""
		if g.Verdict != "execute" {
			flag, mark, code = w.paint(yellow, "!"), w.paint(yellow, g.Verdict), " "+g.Code
		}
		fmt.Fprintf(w, "  %s %-*s %s%s", flag, width, g.Name, mark, code)
		if g.Text != "" {
			fmt.Fprintf(w, "  %s", printable(g.Text))
		}
		fmt.Fprintln(w)
	}
}

func printChecks(w painter, p engine.Planned) {
	if len(p.Checks) > 0 {
		fmt.Fprintln(w, "  checks   (asked just now)")
	}
	for _, c := range p.Checks {
		mark := w.paint(green, "ok")
		switch {
		case c.Result.Unknown:
			mark = w.paint(yellow, "unknown")
		case !c.Result.OK:
			mark = w.paint(yellow, "not ok")
		}
		fmt.Fprintf(w, "    %s %d %s  %s  %s\n", c.Phase, c.Step, w.paint(cyan, c.Uses), mark, printable(c.Result.Text))
	}
}

// shownStep is a step of a plan as JSON has it: from `plan` here, or from a daemon
// that may know more than this program.
type shownStep struct {
	engine.PlanStep
	Refused  *audit.Reason `json:"refused"`  // a guard skips it
	Approval bool          `json:"approval"` // a person is asked before it
}

// shownPlan is a plan for people. Raw stands for one in a form that is not known.
type shownPlan struct {
	Steps []shownStep `json:"steps"`
	Hash  string      `json:"hash"`
	Raw   string      `json:"-"`
}

func shown(p *engine.FullPlan) shownPlan {
	out := shownPlan{Hash: p.Hash}
	if b, err := json.Marshal(p); err == nil {
		_ = json.Unmarshal(b, &out) // it is what Marshal wrote
	}
	return out
}

func printSteps(w painter, p shownPlan) {
	if len(p.Steps) == 0 && p.Raw == "" {
		return
	}
	fmt.Fprintf(w, "  plan     %s\n", w.paint(grey, "hash "+p.Hash))
	if p.Raw != "" {
		fmt.Fprintf(w, "    %s\n", p.Raw)
	}
	for _, s := range p.Steps {
		printStep(w, s)
	}
}

func printStep(w painter, s shownStep) {
	note := ""
	if s.Conditional {
		note += w.paint(yellow, " (conditional)")
	}
	if s.Approval {
		note += w.paint(yellow, " (needs approval)")
	}
	if s.Refused != nil {
		note += w.paint(yellow, " (skipped)")
	}
	fmt.Fprintf(w, "    %d. %s%s  %s\n", s.Step, w.paint(cyan, s.Uses), note, printable(s.Text))
	if s.Refused != nil {
		fmt.Fprintf(w, "     %s %s: %s\n", w.paint(yellow, "!"), s.Refused.Code, printable(s.Refused.Text))
	}
	if s.Plan == nil {
		if len(s.Targets) > 0 {
			fmt.Fprintf(w, "       may touch %s\n", strings.Join(s.Targets, ", "))
		}
		return
	}
	for _, o := range s.Plan.Objects {
		fmt.Fprintf(w, "       %s %s %s\n", o.Kind, printable(o.ID), printable(o.Name))
	}
}

func labels(a alert.Alert) string {
	var parts []string
	for _, pair := range a.Labels.SortedPairs() {
		if pair.Name != "alertname" {
			parts = append(parts, fmt.Sprintf("%s=%q", pair.Name, pair.Value))
		}
	}
	return a.Status + " {" + strings.Join(parts, ", ") + "}"
}
