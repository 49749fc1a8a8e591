package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Alert as it is posted to Alertmanager. A zero StartsAt is now; a zero EndsAt
// lets Alertmanager's resolve_timeout (5 minutes) decide.
type Alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// ServiceDown is StellarEscrow's alert about a job that does not answer.
func ServiceDown(job, severity string) Alert {
	return Alert{
		Labels: map[string]string{
			"alertname": "ServiceDown", "severity": severity, "job": job, "instance": job + ":3000", "environment": "production",
		},
		Annotations: map[string]string{
			"summary":     "Service " + job + " is down",
			"description": job + " has been unreachable for more than 1 minute.",
		},
		GeneratorURL: "http://prometheus.lab:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
	}
}

// Post sends firing alerts, as Prometheus would.
func (a *Alertmanager) Post(ctx context.Context, alerts ...Alert) error {
	body, err := json.Marshal(alerts)
	if err != nil {
		return err
	}
	return call(ctx, http.MethodPost, a.URL+"/api/v2/alerts", bytes.NewReader(body), nil)
}

// Resolve sends the same alerts with their end a moment ago.
func (a *Alertmanager) Resolve(ctx context.Context, alerts ...Alert) error {
	ended := make([]Alert, len(alerts))
	for i, alert := range alerts {
		ended[i] = alert
		ended[i].EndsAt = time.Now().Add(-time.Millisecond)
		if alert.StartsAt.IsZero() {
			ended[i].StartsAt = ended[i].EndsAt.Add(-time.Millisecond) // merged with the earlier start that it knows
		}
	}
	return a.Post(ctx, ended...)
}

// Silence mutes alerts with these labels for d and answers the silence's id.
func (a *Alertmanager) Silence(ctx context.Context, labels map[string]string, d time.Duration) (string, error) {
	var matchers []map[string]any
	for name, value := range labels {
		matchers = append(matchers, map[string]any{"name": name, "value": value, "isRegex": false, "isEqual": true})
	}
	now := time.Now()
	body, err := json.Marshal(map[string]any{
		"matchers": matchers, "startsAt": now, "endsAt": now.Add(d), "createdBy": "lab", "comment": "lab",
	})
	if err != nil {
		return "", err
	}
	var answer struct {
		ID string `json:"silenceID"`
	}
	err = call(ctx, http.MethodPost, a.URL+"/api/v2/silences", bytes.NewReader(body), &answer)
	return answer.ID, err
}

// Unsilence expires a silence.
func (a *Alertmanager) Unsilence(ctx context.Context, id string) error {
	return call(ctx, http.MethodDelete, a.URL+"/api/v2/silence/"+id, nil, nil)
}

// States of all alerts that Alertmanager knows, by fingerprint: active,
// suppressed or unprocessed.
func (a *Alertmanager) States(ctx context.Context) (map[string]string, error) {
	var found []struct {
		Fingerprint string `json:"fingerprint"`
		Status      struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err := call(ctx, http.MethodGet, a.URL+"/api/v2/alerts", nil, &found); err != nil {
		return nil, fmt.Errorf("alerts of alertmanager: %w", err)
	}
	states := map[string]string{}
	for _, f := range found {
		states[f.Fingerprint] = f.Status.State
	}
	return states, nil
}
