package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/test/lab"
)

func TestLab_PostgresIsRealAndLabelled(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	pg, err := l.Postgres(ctx, lab.PostgresSpec{})
	require.NoError(t, err)
	conn, err := pgx.Connect(ctx, pg.DSN)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(ctx))
	var database, version string
	require.NoError(t, conn.QueryRow(ctx, "select current_database(), current_setting('server_version')").Scan(&database, &version))
	require.Equal(t, "stellar_escrow", database)
	require.Regexp(t, `^15\.`, version)

	_, err = pgx.Connect(ctx, "postgres://indexer:wrong@"+conn.Config().Host+fmt.Sprintf(":%d/stellar_escrow", conn.Config().Port))
	require.ErrorContains(t, err, "28P01", "a wrong password is refused")
	require.NoError(t, l.Restart(ctx, "postgres"))
	require.NoError(t, l.WaitHealthy(ctx, "postgres"))
}

func TestLab_RedisIsReal(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	redis, err := l.Redis(ctx, lab.RedisSpec{})
	require.NoError(t, err)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", redis.Address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", lab.RedisPassword)
	require.NoError(t, err)
	answer := make([]byte, len("+OK\r\n+PONG\r\n"))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.Equal(t, "+OK\r\n+PONG\r\n", string(answer))
}

func TestAlertmanager_CallsSilencesAndRetries(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	receiver, err := l.Receiver(ctx)
	require.NoError(t, err)
	receiver.Answer(http.StatusServiceUnavailable)
	am, err := l.Alertmanager(ctx, lab.AlertmanagerSpec{WebhookURL: receiver.URL, BearerToken: "token-of-am"})
	require.NoError(t, err)
	down := lab.ServiceDown("stellar-escrow-indexer", "critical")
	require.NoError(t, am.Post(ctx, down))
	calls, err := receiver.Wait(ctx, 2)
	require.NoError(t, err)
	require.Equal(t, calls[0].Body, calls[1].Body, "503 is retried")
	require.Equal(t, "Bearer token-of-am", calls[0].Header.Get("Authorization"))

	receiver.Answer(http.StatusOK)
	_, err = am.WaitLog(ctx, "Notify success")
	require.NoError(t, err)
	states, err := am.States(ctx)
	require.NoError(t, err)
	require.Len(t, states, 1)
	id, err := am.Silence(ctx, map[string]string{"alertname": "ServiceDown"}, time.Hour)
	require.NoError(t, err)
	requireState(ctx, t, am, "suppressed")
	require.NoError(t, am.Unsilence(ctx, id))
	require.NoError(t, am.Resolve(ctx, down))
	awaitStatus(ctx, t, receiver, "resolved")

	require.NoError(t, am.Restart(ctx))
	states, err = am.States(ctx)
	require.NoError(t, err)
	require.Empty(t, states, "a restarted one knows nothing")
}

func TestAlertmanager_BasicAuth(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	receiver, err := l.Receiver(ctx)
	require.NoError(t, err)
	am, err := l.Alertmanager(ctx, lab.AlertmanagerSpec{WebhookURL: receiver.URL, BasicUser: "am", BasicPassword: "secret"})
	require.NoError(t, err)
	require.NoError(t, am.Post(ctx, lab.ServiceDown("redis", "high")))
	calls, err := receiver.Wait(ctx, 1)
	require.NoError(t, err)
	request := http.Request{Header: calls[0].Header}
	user, password, ok := request.BasicAuth()
	require.True(t, ok)
	require.Equal(t, "am:secret", user+":"+password)
}

func TestAlertmanager_SaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	_, err := l.Alertmanager(bounded(t), lab.AlertmanagerSpec{WebhookURL: "::no url"})
	require.ErrorContains(t, err, "missing protocol scheme")
}

// requireState waits for the only alert's state: Alertmanager marks an alert as
// silenced when it is asked for.
func requireState(ctx context.Context, t *testing.T, am *lab.Alertmanager, want string) {
	t.Helper()
	states, err := am.States(ctx)
	require.NoError(t, err)
	for _, state := range states {
		require.Equal(t, want, state)
	}
	require.Len(t, states, 1)
}

// awaitStatus reads on until a notification has the status.
func awaitStatus(ctx context.Context, t *testing.T, receiver *lab.Receiver, want string) lab.Call {
	t.Helper()
	for n := 1; ; n++ {
		calls, err := receiver.Wait(ctx, n)
		require.NoError(t, err)
		var message struct{ Status string }
		require.NoError(t, json.Unmarshal(calls[n-1].Body, &message))
		if message.Status == want {
			return calls[n-1]
		}
	}
}

func TestLab_PostgresCrashesFromInsideAndItsDependentsFeelIt(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	l := lab.New(t)
	pg, err := l.Postgres(ctx, lab.PostgresSpec{})
	require.NoError(t, err)
	require.NoError(t, l.Service(ctx, lab.ServiceSpec{Name: "indexer", DependsOn: []string{"postgres"}, Needs: []string{"postgres:5432"}}))
	ids, err := l.ContainerIDs(ctx, "postgres")
	require.NoError(t, err)

	require.NoError(t, l.CrashPostgres(ctx, "postgres"))
	c, err := l.Docker.ContainerInspect(ctx, ids[0])
	require.NoError(t, err)
	require.Equal(t, 137, c.State.ExitCode)
	require.False(t, c.State.OOMKilled)
	own, err := l.Events(ctx, "postgres")
	require.NoError(t, err)
	require.NotContains(t, actionsOf(own), "kill", "it died by itself")
	require.NoError(t, l.WaitUnhealthy(ctx, "indexer"))

	require.NoError(t, l.Restart(ctx, "postgres"))
	require.NoError(t, l.WaitHealthy(ctx, "postgres"))
	require.NoError(t, l.WaitHealthy(ctx, "indexer"))
	conn, err := pgx.Connect(ctx, pg.DSN)
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))

	began := time.Now()
	require.NoError(t, l.Stop(ctx, "postgres"))
	require.Less(t, time.Since(began), 8*time.Second, "it heeds SIGTERM")
	c, err = l.Docker.ContainerInspect(ctx, ids[0])
	require.NoError(t, err)
	require.Zero(t, c.State.ExitCode)
}

func actionsOf(events []lab.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Action)
	}
	return out
}
