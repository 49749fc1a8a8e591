package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/stellarescrow/remediator/pkg/handlers"
)

// status prints what the daemon is doing: first what a person has to do about it.
type status struct {
	daemon daemonFlags
	json   *bool
}

func (c *status) register(a *kingpin.Application) *kingpin.CmdClause {
	cl := a.Command("status", "What a running daemon is doing, and what waits for you, with the command for it.")
	c.daemon.register(cl)
	c.json = cl.Flag("json", "Print the API's JSON.").Bool()
	return cl
}

func (c *status) run(ctx context.Context, s streams) error {
	cl, err := c.daemon.client()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := cl.Do(ctx, "GET", "/api/v1/status", nil, &raw); err != nil {
		return err
	}
	if *c.json {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		return enc.Encode(raw)
	}
	var st handlers.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("the daemon's status cannot be read: %w", err)
	}
	v := statusView{painter: painter{s.out, s.colour}, now: time.Now(), line: c.daemon.line}
	v.print(st)
	return nil
}

// statusView lays a status out for people.
type statusView struct {
	painter
	now    time.Time
	line   func(words ...string) string // a command to copy
	called int                          // things that wait for a person
}

func (v *statusView) print(st handlers.Status) {
	ready := v.paint(green, "ready")
	if !st.Ready {
		ready = v.paint(red, "NOT READY") + ": " + printable(st.NotReady)
	}
	fmt.Fprintf(v, "remediator %s  %s  %s  up since %s  %s\n", st.Version, st.Replica, v.paint(bold, st.Mode), clock(st.Started, v.now), ready)
	if st.Config.LastError != "" {
		v.call(red, "CONFIG", "the newest configuration was rejected; the one of %s is in force", clock(st.Config.Loaded, v.now))
		v.more("%s", printable(st.Config.LastError))
	}
	for _, p := range st.Pauses {
		v.pause(p)
	}
	for _, a := range st.Active {
		v.held(a)
	}
	for _, a := range st.AwaitingApproval {
		v.awaiting(a)
	}
	for _, q := range st.Quarantined {
		v.call(red, "QUARANTINED", "%s since %s by %s (%s)", printable(q.Target), clock(q.Since, v.now), q.Policy, q.Remediation)
		v.more("%s", printable(q.Text))
		v.copy("clear", q.Target, "--reason", "TEXT")
	}
	for _, d := range st.Docker {
		v.call(red, "DOCKER", "%s cannot be looked at: nothing can be done", printable(d.Name))
		v.more("%s", printable(d.Text))
	}
	for _, u := range st.Upstreams {
		v.upstream(u)
	}
	v.firing(st)
	if v.called == 0 {
		fmt.Fprintln(v, "nothing waits for you")
	}
	v.work(st)
}

// call is one thing that a person should know at once.
func (v *statusView) call(colour, what, format string, args ...any) {
	v.called++
	fmt.Fprintf(v, "\n%s  %s\n", v.paint(colour, what), fmt.Sprintf(format, args...))
}

func (v *statusView) more(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		fmt.Fprintf(v, "    %s\n", text)
	}
}

func (v *statusView) copy(words ...string) {
	fmt.Fprintf(v, "    %s\n", v.paint(cyan, v.line(words...)))
}

func (v *statusView) pause(p handlers.Pause) {
	what, command := "everything", []string{"resume"}
	switch {
	case p.Policy != "":
		what, command = "policy "+p.Policy, append(command, "--policy", p.Policy)
	case p.Target != "":
		what, command = "target "+p.Target, append(command, "--target", p.Target)
	}
	end := "until resumed"
	if p.Until != nil {
		end = "until " + clock(*p.Until, v.now)
	}
	v.call(yellow, "PAUSED", "%s, %s; since %s by %s", printable(what), end, clock(p.Since, v.now), printable(p.Actor))
	v.more("%s", printable(p.Reason))
	v.copy(command...)
}

func (v *statusView) held(a handlers.Active) {
	if a.State != "held" {
		return
	}
	v.call(red, "HELD", "%s  %s  %s  begun %s", a.ID, a.Policy, strings.Join(a.Targets, ", "), clock(a.Since, v.now))
	v.more("%s", printable(a.Text))
	v.copy("resume-held", a.ID)
	v.copy("cancel", a.ID, "--reason", "TEXT")
}

func (v *statusView) awaiting(a handlers.Awaiting) {
	what := "its plan"
	if a.Step != nil {
		what = fmt.Sprintf("step %d of its plan", *a.Step)
	}
	v.call(yellow, "AWAITING APPROVAL", "%s  %s  of %s, asked by %s; expires %s", a.ID, a.Policy, what, orNone(a.Guards), clock(a.Expires, v.now))
	if a.Alert != "" {
		v.more("alert %s", printable(a.Alert))
	}
	v.more("%s", printable(a.Why))
	v.more("%s", printable(a.Text))
	v.copy("approve", a.ID, "--plan-hash", a.PlanHash)
	v.copy("reject", a.ID, "--reason", "TEXT")
}

// firing are the alerts that nothing is done about.
func (v *statusView) firing(st handlers.Status) {
	for _, f := range st.Firing {
		how := "left alone"
		if f.Verdict == "defer" {
			how = "waits"
		}
		v.call(yellow, "FIRING", "%s since %s - %s: %s", printable(f.Policy), clock(f.Since, v.now), how, printable(f.Code))
		text := printable(f.Text)
		if f.Alert != "" {
			text = strings.TrimSuffix(printable(f.Alert)+": "+text, ": ")
		}
		v.more("%s", text)
	}
	if st.FiringMore > 0 {
		fmt.Fprintf(v, "\n%d more of these: GET /api/v1/alerts\n", st.FiringMore)
	}
}

func (v *statusView) upstream(u handlers.UpstreamLine) {
	if u.State == "operational" {
		if u.Holds.After(v.now) {
			at := func(t time.Time) string { return t.In(v.now.Location()).Format(time.TimeOnly) }
			v.call(yellow, "UPSTREAM", "%s ended %s, guards hold until %s", printable(u.Name), at(u.Ended), at(u.Holds))
		}
		return
	}
	state := u.State
	if u.Impact != "" {
		state += " (" + u.Impact + ")"
	}
	since := ""
	if !u.Since.IsZero() {
		since = " since " + clock(u.Since, v.now)
	}
	v.call(yellow, "UPSTREAM", "%s  %s%s", printable(u.Name), printable(state), since)
	v.more("%s", printable(u.Text))
}

// work is what goes on by itself.
func (v *statusView) work(st handlers.Status) {
	fmt.Fprintln(v)
	for _, a := range st.Active {
		if a.State != "held" && a.State != "awaiting_approval" {
			fmt.Fprintf(v, "%s  %s  %s  %s  since %s\n", a.State, a.ID, a.Policy, strings.Join(a.Targets, ", "), clock(a.Since, v.now))
		}
	}
	var counts []string
	for _, state := range slices.Sorted(maps.Keys(st.Remediations)) {
		counts = append(counts, fmt.Sprintf("%d %s", st.Remediations[state], strings.ReplaceAll(state, "_", " ")))
	}
	if len(counts) == 0 {
		counts = []string{"no remediation under way"}
	}
	episodes := "1 open episode"
	if st.OpenEpisodes != 1 {
		episodes = fmt.Sprintf("%d open episodes", st.OpenEpisodes)
	}
	fmt.Fprintf(v, "%s; %s; audit head %d:%s\n", episodes, strings.Join(counts, ", "), st.Audit.Seq, st.Audit.Hash)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nobody in particular"
	}
	return strings.Join(list, ", ")
}
