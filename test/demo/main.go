// Command demo shows remediator's main job on real engines, in under two minutes:
// first in dry run, then live, a wedged container, Alertmanager's call, the plan,
// the decision, the restart, the proof that it helped and the audit log. It makes
// everything it needs and leaves nothing behind.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	d := &demo{out: os.Stdout, colour: colourful()}
	err := d.run(ctx)
	if cerr := d.close(); err == nil {
		err = cerr
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1) //nolint:gocritic // the deferred calls only restore signals
	}
}

type demo struct {
	out     io.Writer
	colour  bool
	lab     *lab.Lab
	program string
	dir     string
	daemon  *exec.Cmd
	url     string
	am      *lab.Alertmanager
	records chan *audit.Record
	follow  *exec.Cmd
	printed sync.WaitGroup
}

func (d *demo) run(ctx context.Context) error {
	begin := time.Now()
	d.title("Preparing: a service in a container, Alertmanager and remediator")
	if err := d.prepare(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := d.dryRun(ctx); err != nil {
		return err
	}
	if err := d.live(ctx); err != nil {
		return err
	}
	if err := d.proof(ctx); err != nil {
		return err
	}
	d.title(fmt.Sprintf("Done in %s (and %s of preparation). Nothing stays behind.", time.Since(began).Round(time.Second), began.Sub(begin).Round(time.Second)))
	return nil
}

func (d *demo) prepare(ctx context.Context) error {
	var err error
	if d.lab, err = lab.Start(ctx, lab.Options{}); err != nil {
		return fmt.Errorf("%w\n\nThe demo needs a running Docker Engine. Start it with one of:\n  sudo systemctl start docker\n  sudo service docker start\nand see that you may use it: docker info", err)
	}
	d.dir = d.lab.Dir
	d.program = filepath.Join(d.dir, "remediator")
	if err := d.step("building remediator", func() error {
		out, err := exec.CommandContext(ctx, "go", "build", "-o", d.program, "./cmd/remediator").CombinedOutput()
		if err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := d.step("starting the service `api` (built from scratch), healthy", func() error {
		return d.lab.Service(ctx, lab.ServiceSpec{Name: "api"})
	}); err != nil {
		return err
	}
	if err := d.step("starting remediator in dry run", func() error { return d.serve(ctx) }); err != nil {
		return err
	}
	return d.startAlertmanager(ctx)
}

// startAlertmanager starts the real one where it is installed; without it the demo
// posts a payload that was recorded from it.
func (d *demo) startAlertmanager(ctx context.Context) error {
	am, err := d.newAlertmanager(ctx)
	if err != nil {
		d.say("Alertmanager is not installed: a payload recorded from it is posted instead")
		return nil //nolint:nilerr // the recorded payload serves
	}
	d.am = am
	d.say("Alertmanager runs at " + am.URL + " and knows remediator as its webhook receiver")
	return nil
}

func (d *demo) newAlertmanager(ctx context.Context) (*lab.Alertmanager, error) {
	return d.lab.Alertmanager(ctx, lab.AlertmanagerSpec{WebhookURL: d.url + "/webhook"})
}

const configuration = `mode: %s
storage: {path: data/remediator.db}
docker:
- {name: local, project: %s, services: [api]}
receivers:
- {name: oncall}
defaults: {cooldown: 0s, settle: 1m}
policies:
- name: RB-003-api-down
  runbook: RB-003
  severity: P2
  matchers: ['alertname="ServiceDown"', 'job="stellar-escrow-api"']
  confirm:
  - {uses: docker.healthy, with: {service: api}, expect: failure}
  steps:
  - {uses: docker.restart, with: {service: api, timeout: 2s}}
  verify:
  - {uses: docker.healthy, with: {service: api}, within: 30s}
  escalate: [oncall]
`

func (d *demo) configure(mode string) error {
	return os.WriteFile(filepath.Join(d.dir, "config.yaml"), fmt.Appendf(nil, configuration, mode, d.lab.Project), 0o600)
}

// serve starts the daemon and waits for its line `listening`.
func (d *demo) serve(ctx context.Context) error {
	if err := d.configure("dry-run"); err != nil {
		return err
	}
	d.daemon = exec.CommandContext(ctx, d.program, "serve", "--config.file", filepath.Join(d.dir, "config.yaml"), "--web.listen-address", "127.0.0.1:0", "--log.format", "json")
	d.daemon.Cancel = func() error { return d.daemon.Process.Signal(syscall.SIGTERM) }
	logs, err := d.daemon.StderrPipe()
	if err != nil {
		return err
	}
	if err := d.daemon.Start(); err != nil {
		return err
	}
	address := make(chan string, 1)
	failure := make(chan string, 1)
	d.printed.Go(func() { watchLog(logs, address, failure) })
	select {
	case a := <-address:
		d.url = "http://" + a
		return nil
	case text := <-failure:
		return errors.New("remediator did not start: " + text)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func watchLog(logs io.Reader, address, failure chan<- string) {
	lines := bufio.NewScanner(logs)
	lines.Buffer(nil, 1<<20)
	last := ""
	for lines.Scan() {
		last = lines.Text()
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			address <- line.Address
		}
	}
	failure <- last
}

// followAudit prints the audit log as it grows and passes records on.
func (d *demo) followAudit(ctx context.Context) error {
	d.records = make(chan *audit.Record, 1000)
	d.follow = exec.CommandContext(ctx, d.program, "audit", "follow", "--url", d.url)
	out, err := d.follow.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.follow.Start(); err != nil {
		return err
	}
	d.printed.Go(func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			r := &audit.Record{}
			if json.Unmarshal(lines.Bytes(), r) == nil {
				d.print(r)
				d.records <- r
			}
		}
		close(d.records)
	})
	return nil
}

// await waits for a record of a type.
func (d *demo) await(ctx context.Context, t audit.Type) (*audit.Record, error) {
	for {
		select {
		case r, ok := <-d.records:
			if !ok {
				return nil, errors.New("the audit log ended")
			}
			if r.Type == t {
				return r, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("no %s came: %w", t, ctx.Err())
		}
	}
}

func (d *demo) dryRun(ctx context.Context) error {
	d.title("1. Dry run: the api is wedged, Alertmanager calls, and remediator says what it would do")
	if err := d.followAudit(ctx); err != nil {
		return err
	}
	if err := d.wedge(ctx); err != nil {
		return err
	}
	payload, err := d.fire(ctx)
	if err != nil {
		return err
	}
	if _, err := d.await(ctx, audit.RemediationClosed); err != nil {
		return err
	}
	d.say("")
	d.say("The same by hand, `remediator plan` on the payload:")
	plan := exec.CommandContext(ctx, d.program, "plan", "--config.file", filepath.Join(d.dir, "plan.yaml"), payload)
	out, err := plan.CombinedOutput()
	fmt.Fprintln(d.out, indent(string(out)))
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return d.unchanged(ctx)
}

func (d *demo) wedge(ctx context.Context) error {
	d.say("the api hangs from now on; its health check will notice")
	if err := d.lab.Wedge(ctx, "api"); err != nil {
		return err
	}
	if err := d.lab.WaitUnhealthy(ctx, "api"); err != nil {
		return err
	}
	d.say(d.paint("31", "the container of `api` is unhealthy"))
	return nil
}

// unchanged checks that dry run changed nothing.
func (d *demo) unchanged(ctx context.Context) error {
	n, err := d.lab.Restarts(ctx, "api")
	if err != nil {
		return err
	}
	if n != 0 {
		return fmt.Errorf("dry run restarted the service %d times", n)
	}
	d.say("restarts of `api` so far: 0. Dry run changed nothing.")
	return nil
}

var alertOfAPI = lab.ServiceDown("stellar-escrow-api", "critical")

// fire makes the alert fire and gives a file with its payload.
func (d *demo) fire(ctx context.Context) (string, error) {
	if err := os.WriteFile(filepath.Join(d.dir, "plan.yaml"), fmt.Appendf(nil, strings.Replace(configuration, "data/", "plan/", 1), "dry-run", d.lab.Project), 0o600); err != nil {
		return "", err
	}
	body, err := recorded(alertOfAPI, "firing")
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.dir, "payload.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		return "", err
	}
	if d.am != nil {
		return path, d.am.Post(ctx, alertOfAPI)
	}
	return path, d.post(ctx, body)
}

func (d *demo) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/webhook", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("webhook: %s: %s", res.Status, text)
	}
	return nil
}

func (d *demo) live(ctx context.Context) error {
	d.title("2. Live: `mode: live` and a reload; what still fires is decided again")
	if err := d.configure("live"); err != nil {
		return err
	}
	begin := time.Now()
	if err := d.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	closed, err := d.await(ctx, audit.RemediationClosed)
	if err != nil {
		return err
	}
	if closed.Outcome != "succeeded" {
		return fmt.Errorf("the remediation ended as %s", closed.Outcome)
	}
	if err := d.lab.WaitHealthy(ctx, "api"); err != nil {
		return err
	}
	d.say(d.paint("32", fmt.Sprintf("the container of `api` is healthy again, %.1f s after the reload", time.Since(begin).Seconds())))
	d.say("the alert resolves:")
	if d.am != nil {
		err = d.am.Resolve(ctx, alertOfAPI)
	} else {
		var body []byte
		if body, err = recorded(alertOfAPI, "resolved"); err == nil {
			err = d.post(ctx, body)
		}
	}
	if err != nil {
		return err
	}
	_, err = d.await(ctx, audit.RemediationEffect)
	return err
}

func (d *demo) proof(ctx context.Context) error {
	d.title("3. The audit log is whole")
	out, err := exec.CommandContext(ctx, d.program, "audit", "verify", "--config.file", filepath.Join(d.dir, "config.yaml")).CombinedOutput()
	fmt.Fprintln(d.out, indent(string(out)))
	return err
}

// close ends what was started, by its process id, and removes the lab.
func (d *demo) close() error {
	if d.follow != nil && d.follow.Process != nil {
		_ = d.follow.Process.Signal(syscall.SIGTERM)
	}
	if d.daemon != nil && d.daemon.Process != nil {
		_ = d.daemon.Process.Signal(syscall.SIGTERM)
	}
	d.printed.Wait()
	if d.follow != nil {
		_ = d.follow.Wait()
	}
	if d.daemon != nil {
		_ = d.daemon.Wait()
	}
	if d.lab == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return d.lab.Close(ctx)
}
