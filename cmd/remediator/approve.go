package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/client"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// approve consents to one plan, named by its hash. Without the hash it shows what
// there is to consent to.
type approve struct {
	daemon           daemonFlags
	id, hash, reason *string
}

func (c *approve) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("approve", "Consent to the plan that a remediation asks for; without --plan-hash: show it.")
	c.daemon.register(cl)
	c.id = cl.Arg("ID", "The remediation.").Required().String()
	c.hash = cl.Flag("plan-hash", "Hash of the plan that you have looked at.").PlaceHolder("HASH").String()
	c.reason = cl.Flag("reason", "Why; recorded.").String()
	return cl
}

func (c *approve) run(ctx context.Context, s streams) error {
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	if *c.hash == "" {
		return c.show(ctx, cl, s)
	}
	body := struct {
		PlanHash string `json:"plan_hash"`
		Reason   string `json:"reason,omitempty"`
	}{*c.hash, *c.reason}
	err = cl.Do(ctx, "POST", remediationPath(*c.id)+"/approve", body, nil)
	if p := (*problem.Problem)(nil); errors.As(err, &p) && p.Code == "plan_changed" {
		return fmt.Errorf("%w\nlook at it: %s", err, c.daemon.line("approve", *c.id))
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "approved", *c.id, "- it is guarded and planned again; a different plan asks again")
	return nil
}

// show prints the plan and how to consent to it, and ends with 2: nothing was
// approved.
func (c *approve) show(ctx context.Context, cl *client.Client, s streams) error {
	var d handlers.RemediationDetail
	if err := cl.Do(ctx, "GET", remediationPath(*c.id), nil, &d); err != nil {
		return err
	}
	if d.Approval == nil || d.Approval.Decided != "" || d.State == "closed" {
		return fmt.Errorf("remediation %s does not ask for consent: %s", d.ID, asked(d))
	}
	w, now := painter{s.out, s.colour}, time.Now()
	fmt.Fprintf(w, "%s  %s  %s\n", w.paint(bold, d.ID), d.Policy, d.Mode)
	fmt.Fprintf(w, "  asked     %s by %s\n", clock(d.Approval.Requested, now), orNone(d.Approval.Guards))
	fmt.Fprintf(w, "  expires   %s\n", clock(d.Approval.Expires, now))
	printSteps(w, wholePlan(d))
	if d.Approval.Step != nil {
		fmt.Fprintf(w, "  consent is asked for step %d alone\n", *d.Approval.Step)
	}
	fmt.Fprintf(s.err, "nothing is approved yet. To consent to exactly this plan:\n  %s\nTo refuse it:\n  %s\n",
		c.daemon.line("approve", d.ID, "--plan-hash", d.Approval.PlanHash), c.daemon.line("reject", d.ID, "--reason", "TEXT"))
	return errUsage
}

// asked says why there is nothing to consent to.
func asked(d handlers.RemediationDetail) string {
	state := "it is " + d.State
	if d.Outcome != "" {
		state += " (" + d.Outcome + ")"
	}
	if a := d.Approval; a != nil && a.Decided != "" {
		state += ", the last request was " + a.Decided
		if a.By != "" {
			state += " by " + a.By
		}
	}
	return state
}

// wholePlan is the plan of a remediation: what approval.requested carries, or one
// step's.
func wholePlan(d handlers.RemediationDetail) shownPlan {
	p := shownPlan{Hash: d.PlanHash}
	if json.Unmarshal(d.Plan, &p) != nil || len(p.Steps) == 0 {
		var raw bytes.Buffer
		if json.Indent(&raw, d.Plan, "    ", "  ") == nil {
			p.Raw = raw.String()
		}
	}
	p.Hash = d.Approval.PlanHash // what consent is for, also where it is one step's
	return p
}

// reject refuses consent.
type reject struct {
	daemon     daemonFlags
	id, reason *string
}

func (c *reject) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("reject", "Refuse the plan that a remediation asks for; its policy is not tried again in that episode.")
	c.daemon.register(cl)
	c.id = cl.Arg("ID", "The remediation.").Required().String()
	c.reason = cl.Flag("reason", "Why; recorded.").String()
	return cl
}

func (c *reject) run(ctx context.Context, s streams) error {
	if err := c.daemon.post(ctx, remediationPath(*c.id)+"/reject", reasonBody{*c.reason}); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "rejected", *c.id)
	return nil
}

// clear ends the quarantine of a target.
type clearTarget struct {
	daemon         daemonFlags
	target, reason *string
}

func (c *clearTarget) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("clear", "End the quarantine of a target: it may be touched again.")
	c.daemon.register(cl)
	c.target = cl.Arg("TARGET", "The target, such as docker:local/api.").Required().String()
	c.reason = cl.Flag("reason", "Why; recorded.").String()
	return cl
}

func (c *clearTarget) run(ctx context.Context, s streams) error {
	body := struct {
		Target string `json:"target"`
		Reason string `json:"reason,omitempty"`
	}{*c.target, *c.reason}
	if err := c.daemon.post(ctx, "/api/v1/clear", body); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "cleared", *c.target)
	return nil
}
