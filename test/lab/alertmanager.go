package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// AlertmanagerSpec is an Alertmanager with one webhook receiver.
type AlertmanagerSpec struct {
	WebhookURL string
	Receiver   string // default remediator

	GroupBy        []string      // default alertname, severity
	GroupWait      time.Duration // default 200ms
	GroupInterval  time.Duration // default 1s; a failed webhook is retried within it
	RepeatInterval time.Duration // default 4h
	MaxAlerts      int           // of one notification, beyond which it truncates

	// How the webhook authenticates; at most one of token and basic.
	BearerToken        string
	BasicUser          string
	BasicPassword      string
	CAFile             string // that signed the webhook's certificate
	CertFile, KeyFile  string // client certificate
	ServerName         string
	InsecureSkipVerify bool
}

// Alertmanager is a running one.
type Alertmanager struct {
	// URL of its API and page, without a path. It stays the same over restarts.
	URL string

	program string
	args    []string
	process *process
	lab     *Lab
}

// Alertmanager starts the real one on a free port of the loopback and waits
// until it is ready.
func (l *Lab) Alertmanager(ctx context.Context, spec AlertmanagerSpec) (*Alertmanager, error) {
	path, err := program("prometheus-alertmanager", "prometheus-alertmanager", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.Dir, "alertmanager-")
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(spec.config())
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	port, err := l.Port(ctx)
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	am := &Alertmanager{URL: "http://" + address, program: path, lab: l, args: []string{
		"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
		"--web.external-url=http://alertmanager.lab:9093", "--web.route-prefix=/", "--cluster.listen-address=", "--log.level=debug",
	}}
	if err := am.start(ctx); err != nil {
		return nil, err
	}
	l.onClose(am.Stop)
	return am, nil
}

// start returns once it listens and answers that it is ready.
func (a *Alertmanager) start(ctx context.Context) error {
	p, err := startProcess(a.program, a.args...)
	if err != nil {
		return err
	}
	a.process = p
	if _, err := p.waitLog(ctx, "Listening on"); err != nil {
		return errors.Join(fmt.Errorf("alertmanager: %w", err), p.stop(ctx))
	}
	if err := call(ctx, "GET", a.URL+"/-/ready", nil, nil); err != nil {
		return errors.Join(fmt.Errorf("alertmanager: %w", err), p.stop(ctx))
	}
	return nil
}

// Stop ends it; its alerts are forgotten, its silences kept. Stopping twice is
// fine.
func (a *Alertmanager) Stop(ctx context.Context) error { return a.process.stop(ctx) }

// Restart stops it and starts it again at the same address.
func (a *Alertmanager) Restart(ctx context.Context) error {
	if err := a.Stop(ctx); err != nil {
		return err
	}
	return a.start(ctx)
}

// Logs since its last start.
func (a *Alertmanager) Logs() string { return a.process.out.String() }

// WaitLog waits for a line of its log that holds the text, and answers the line.
func (a *Alertmanager) WaitLog(ctx context.Context, text string) (string, error) {
	return a.process.waitLog(ctx, text)
}

// config in Alertmanager's own form.
func (s AlertmanagerSpec) config() map[string]any {
	if s.Receiver == "" {
		s.Receiver = "remediator"
	}
	if s.GroupBy == nil {
		s.GroupBy = []string{"alertname", "severity"}
	}
	orElse := func(d, missing time.Duration) string {
		if d == 0 {
			d = missing
		}
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return map[string]any{
		"route": map[string]any{
			"receiver": s.Receiver, "group_by": s.GroupBy,
			"group_wait":      orElse(s.GroupWait, 200*time.Millisecond),
			"group_interval":  orElse(s.GroupInterval, time.Second),
			"repeat_interval": orElse(s.RepeatInterval, 4*time.Hour),
		},
		"receivers": []any{map[string]any{
			"name": s.Receiver,
			"webhook_configs": []any{map[string]any{
				"url": s.WebhookURL, "send_resolved": true, "max_alerts": s.MaxAlerts, "http_config": s.httpConfig(),
			}},
		}},
	}
}

func (s AlertmanagerSpec) httpConfig() map[string]any {
	c := map[string]any{}
	if s.BearerToken != "" {
		c["authorization"] = map[string]any{"type": "Bearer", "credentials": s.BearerToken}
	}
	if s.BasicUser != "" {
		c["basic_auth"] = map[string]any{"username": s.BasicUser, "password": s.BasicPassword}
	}
	tls := map[string]any{}
	for key, value := range map[string]string{
		"ca_file": s.CAFile, "cert_file": s.CertFile, "key_file": s.KeyFile, "server_name": s.ServerName,
	} {
		if value != "" {
			tls[key] = value
		}
	}
	if s.InsecureSkipVerify {
		tls["insecure_skip_verify"] = true
	}
	if len(tls) > 0 {
		c["tls_config"] = tls
	}
	return c
}
