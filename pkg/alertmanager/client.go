// Package alertmanager asks Alertmanager's API v2 which alerts it holds. Two
// plain requests are all that is needed, so its generated client is not.
package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"
	commoncfg "github.com/prometheus/common/config"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/engine"
)

// timeout of one request.
const timeout = 10 * time.Second

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// Client asks one Alertmanager.
type Client struct {
	base *url.URL
	http *http.Client
}

var _ engine.AlertSource = (*Client)(nil)

// New makes a client; it connects to nothing yet.
func New(base string, cfg commoncfg.HTTPClientConfig) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		// It may hold a password where no parser finds it, so it is not quoted.
		return nil, errors.New("alertmanager.url is no address of Alertmanager: want http://host:port or https://host:port")
	}
	c, err := commoncfg.NewClientFromConfig(cfg, "alertmanager")
	if err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	c.Timeout = timeout
	return &Client{base: u, http: c}, nil
}

// gettable is an alert of Alertmanager's API (api/v2/openapi.yaml, gettableAlert).
type gettable struct {
	Labels       template.KV `json:"labels"`
	Annotations  template.KV `json:"annotations"`
	StartsAt     time.Time   `json:"startsAt"`
	EndsAt       time.Time   `json:"endsAt"`
	GeneratorURL string      `json:"generatorURL"`
	Fingerprint  string      `json:"fingerprint"`
	Status       struct {
		State engine.AlertState `json:"state"`
	} `json:"status"`
}

// Current gives every alert that Alertmanager holds, silenced and inhibited ones
// too, and the time at which it was started: one that was just restarted is empty
// until Prometheus sends again. Whatever does not look like Alertmanager's answer
// is an error: that an alert is absent must not be read from a proxy's page.
func (c *Client) Current(ctx context.Context) (map[string]engine.CurrentAlert, time.Time, error) {
	var status struct {
		Uptime time.Time `json:"uptime"`
	}
	if err := c.get(ctx, "/api/v2/status", &status); err != nil {
		return nil, time.Time{}, err
	}
	if status.Uptime.IsZero() {
		return nil, time.Time{}, fmt.Errorf("alertmanager %s: its status has no uptime: is alertmanager.url that of Alertmanager?", c.base.Redacted())
	}
	var list []gettable
	query := "/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true"
	if err := c.get(ctx, query, &list); err != nil {
		return nil, time.Time{}, err
	}
	if list == nil { // an empty one is []
		return nil, time.Time{}, fmt.Errorf("alertmanager %s: it answers no list of alerts: is alertmanager.url that of Alertmanager?", c.base.Redacted())
	}
	out := make(map[string]engine.CurrentAlert, len(list))
	for _, g := range list {
		a := alert.Alert{
			Status: alert.Firing, Labels: g.Labels, Annotations: g.Annotations,
			StartsAt: g.StartsAt, GeneratorURL: g.GeneratorURL, Fingerprint: g.Fingerprint,
		}
		out[alert.Fingerprint(a)] = engine.CurrentAlert{Alert: a, State: g.Status.State}
	}
	return out, status.Uptime, nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+path, nil)
	if err != nil {
		return fmt.Errorf("alertmanager %s: %w", c.base.Redacted(), err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("alertmanager: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return fmt.Errorf("alertmanager %s answered %s: %s", c.base.Redacted(), resp.Status, strings.TrimSpace(string(text)))
	}
	body := &io.LimitedReader{R: resp.Body, N: maxAnswer}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		if body.N == 0 {
			return fmt.Errorf("alertmanager %s: its answer is larger than %d MiB", c.base.Redacted(), maxAnswer>>20)
		}
		return fmt.Errorf("alertmanager %s: its answer cannot be read: %w", c.base.Redacted(), err)
	}
	return nil
}
