package handlers_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/test/lab"
)

// The real Alertmanager, in each of the ways in which it can prove who it is.
func TestAlertmanager_Authenticates(t *testing.T) {
	l := lab.New(t)
	basic, mutual := webConfig(t, basicUsers(t)), webConfig(t, "mutual")
	cert, key := mutual.Issue(t, "am")
	tests := []struct {
		name, scheme string
		server       func(*handlers.Options)
		sender       lab.AlertmanagerSpec
	}{
		{"no authentication, loopback", "http", func(*handlers.Options) {}, lab.AlertmanagerSpec{}},
		{"authorization", "http", threeTokens(t), lab.AlertmanagerSpec{BearerToken: "token-of-alertmanager"}},
		{
			"basic_auth over tls", "https", func(o *handlers.Options) { o.WebConfigFile, o.Access.Users = basic.config, users },
			lab.AlertmanagerSpec{BasicUser: "am", BasicPassword: "password-of-am", CAFile: basic.File},
		},
		{
			"tls_config with a client certificate", "https", func(o *handlers.Options) { o.WebConfigFile, o.Access.Users = mutual.config, users },
			lab.AlertmanagerSpec{CAFile: mutual.File, CertFile: cert, KeyFile: key},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan *alert.Notification, 8)
			var refused atomic.Bool
			d := &daemon{accept: func(_ context.Context, n *alert.Notification, _ json.RawMessage, _ string) error {
				if !refused.Swap(true) {
					return audit.ErrUnavailable // the first time: Alertmanager must come again
				}
				got <- n
				return nil
			}}
			s := serve(t, d, tt.server)
			tt.sender.WebhookURL = s.url(tt.scheme) + "/webhook"
			tt.sender.Receiver = "remediator.v1"
			sender, err := l.Alertmanager(t.Context(), tt.sender)
			require.NoError(t, err)
			down := lab.ServiceDown("indexer", "critical")
			require.NoError(t, sender.Post(t.Context(), down))
			n := next(t, got, s, sender)
			require.Equal(t, `remediator\.v1`, n.Receiver, "it arrives regexp-quoted")
			require.Equal(t, alert.Firing, n.Alerts[0].Status)
			require.True(t, alert.EndsAt(n.Alerts[0]).IsZero())
			computed := n.Alerts[0]
			computed.Fingerprint = ""
			require.Equal(t, n.Alerts[0].Fingerprint, alert.Fingerprint(computed), "ours is the hash that Alertmanager computes")

			require.NoError(t, sender.Resolve(t.Context(), down))
			require.Equal(t, alert.Resolved, next(t, got, s, sender).Alerts[0].Status)
		})
	}
}

// A wrong token is a 401, which Alertmanager does not repeat: its log says so.
func TestAlertmanager_WrongTokenIsDropped(t *testing.T) {
	s := serve(t, &daemon{}, threeTokens(t))
	l := lab.New(t)
	sender, err := l.Alertmanager(t.Context(), lab.AlertmanagerSpec{WebhookURL: s.url("http") + "/webhook", BearerToken: "wrong"})
	require.NoError(t, err)
	require.NoError(t, sender.Post(t.Context(), lab.ServiceDown("indexer", "critical")))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	line, err := sender.WaitLog(ctx, "401")
	require.NoError(t, err)
	require.Contains(t, line, "unrecoverable error")
	require.NotZero(t, s.logs.FilterMessage("request").FilterField(zap.Int("status", 401)).Len())
}

func next(t *testing.T, got <-chan *alert.Notification, s *served, sender *lab.Alertmanager) *alert.Notification {
	t.Helper()
	select {
	case n := <-got:
		return n
	case <-time.After(60 * time.Second):
		for _, line := range s.logs.All() {
			t.Log(line.Message, line.ContextMap())
		}
		t.Log(sender.Logs())
		t.Fatal("Alertmanager did not call")
		return nil
	}
}
