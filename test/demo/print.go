package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/payloads"
)

func colourful() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (d *demo) paint(code, s string) string {
	if !d.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (d *demo) title(s string) { fmt.Fprintf(d.out, "\n%s\n", d.paint("1;36", s)) }

func (d *demo) say(s string) { fmt.Fprintln(d.out, "  "+s) }

// step says what is being done and how long it took.
func (d *demo) step(what string, do func() error) error {
	begin := time.Now()
	err := do()
	if err == nil {
		d.say(fmt.Sprintf("%s (%.1f s)", what, time.Since(begin).Seconds()))
	}
	return err
}

// print shows one audit record as a line, coloured by what it says.
func (d *demo) print(r *audit.Record) {
	code := "0"
	switch r.Type {
	case audit.DaemonStarted, audit.ConfigLoaded, audit.NotificationReceived:
		code = "90"
	case audit.AlertFiring, audit.EscalationSent:
		code = "31"
	case audit.RemediationDecided:
		code = map[string]string{"execute": "1;32", "defer": "33", "suppress": "33"}[r.Verdict]
	case audit.StepStarted, audit.StepFinished:
		code = "1;35"
	case audit.RemediationVerified, audit.RemediationClosed, audit.RemediationEffect, audit.AlertResolved:
		code = "32"
	default:
	}
	fmt.Fprintln(d.out, "  "+d.paint(code, r.Human()))
	if r.Type == audit.RemediationDecided && r.Verdict == "execute" {
		for _, g := range r.Guards {
			fmt.Fprintln(d.out, d.paint("90", fmt.Sprintf("                  guard %-12s %s %s", g.Name, g.Code, g.Text)))
		}
	}
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

// recorded is a payload recorded from Alertmanager 0.25 with an alert of now in it.
func recorded(a lab.Alert, status string) ([]byte, error) {
	var p map[string]any
	if err := json.Unmarshal(payloads.Get("am-0.25-firing"), &p); err != nil {
		return nil, err
	}
	alert := map[string]any{
		"status": status, "labels": a.Labels, "annotations": a.Annotations, "generatorURL": a.GeneratorURL,
		"startsAt": started.Format(time.RFC3339Nano), "endsAt": "0001-01-01T00:00:00Z",
	}
	if status == "resolved" {
		alert["endsAt"] = time.Now().UTC().Format(time.RFC3339Nano)
	}
	p["status"], p["alerts"], p["commonLabels"], p["commonAnnotations"] = status, []any{alert}, a.Labels, a.Annotations
	return json.MarshalIndent(p, "", "  ")
}

var started = time.Now().UTC()
