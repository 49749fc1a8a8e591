package app_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/pkg/app"
)

// refused starts a daemon that must not start, and answers why it did not.
func refused(t *testing.T, path string) error {
	t.Helper()
	noLeaks(t)
	o, _ := options(path)
	a, err := app.Start(t.Context(), o)
	require.Error(t, err)
	require.Nil(t, a)
	return err
}

func TestStart_RefusesAStoreThatCannotBeWritten(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(blocker, nil, 0o600))
	err := refused(t, file(t, conf("dry-run", "storage: {path: "+filepath.Join(blocker, "remediator.db")+"}\n")))
	require.ErrorContains(t, err, blocker)
	require.ErrorContains(t, err, "not a directory")
}

func TestStart_RefusesAStoreThatAnotherProcessHolds(t *testing.T) {
	path := file(t, conf("dry-run", "storage: {path: remediator.db}\n"))
	lock := filepath.Join(filepath.Dir(path), "remediator.db.lock")
	// Another process with the daemon's own lock; it lives until its input ends.
	holder := exec.CommandContext(t.Context(), "flock", "--nonblock", lock, "sh", "-c", "echo held; cat")
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	line := make([]byte, 5)
	_, err = out.Read(line)
	require.NoError(t, err)
	require.Equal(t, "held\n", string(line))
	err = refused(t, path)
	require.ErrorContains(t, err, "is held by another remediator")
	require.ErrorContains(t, err, "storage.path")

	require.NoError(t, in.Close())
	require.NoError(t, holder.Wait())
	o, _ := options(path)
	a, err := app.Start(t.Context(), o)
	require.NoError(t, err, "the lock ends with its holder")
	err = refused(t, path)
	require.ErrorContains(t, err, "is held by another remediator")
	require.NoError(t, a.Stop(t.Context()))
}

func TestStart_RefusesAKeyThatDoesNotFitTheRecords(t *testing.T) {
	const key, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	for name, c := range map[string]struct{ first, then, want string }{
		"another key":   {key, other, "put back the audit.key it was written with"},
		"key added":     {"", key, "was written without audit.key"},
		"key taken off": {key, "", "put back the audit.key it was written with"},
	} {
		t.Run(name, func(t *testing.T) {
			keyed := func(k string) string {
				if k == "" {
					return conf("dry-run")
				}
				return conf("dry-run", "audit: {key: "+k+"}\n")
			}
			path := file(t, keyed(c.first))
			o, _ := options(path)
			a, err := app.Start(t.Context(), o)
			require.NoError(t, err)
			require.NoError(t, a.Stop(t.Context()))

			require.NoError(t, os.WriteFile(path, []byte(keyed(c.then)), 0o600))
			err = refused(t, path)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), key)
			require.NotContains(t, err.Error(), other)

			require.NoError(t, os.WriteFile(path, []byte(keyed(c.first)), 0o600))
			a, err = app.Start(t.Context(), o)
			require.NoError(t, err, "the refusal left the store as it was")
			require.NoError(t, a.Stop(t.Context()))
		})
	}
}

func TestStart_RefusesAnAddressInUse(t *testing.T) {
	d := run(t, conf("dry-run"))
	o, _ := options(file(t, conf("dry-run")))
	o.ListenAddress = d.app.Addr()
	a, err := app.Start(t.Context(), o)
	require.Nil(t, a)
	require.ErrorContains(t, err, "cannot listen on "+d.app.Addr())
}

func TestStartStop_TwentyTimesLeavesNothing(t *testing.T) {
	path := file(t, conf("live", "alertmanager: {url: \"http://127.0.0.1:1\"}\n"))
	before := goleak.IgnoreCurrent()
	for range 20 {
		o, _ := options(path)
		a, err := app.Start(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, a.Reload(t.Context(), "system"))
		require.NoError(t, a.Stop(t.Context()))
		require.NoError(t, a.Stop(t.Context()), "a second stop has nothing to do")
	}
	goleak.VerifyNone(t, before)
}

func TestRun_StopsWhenAskedTo(t *testing.T) {
	noLeaks(t)
	o, logs := options(file(t, conf("dry-run")))
	a, err := app.Start(t.Context(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	hup := make(chan os.Signal)
	go func() { ended <- a.Run(ctx, hup) }()
	hup <- os.Interrupt
	hup <- os.Interrupt // taken once the first reload is through
	cancel()
	require.NoError(t, <-ended)
	require.NotZero(t, logs.FilterMessage("configuration reloaded").Len())
	var last []string
	for _, e := range logs.All() {
		last = append(last, e.Message)
	}
	require.Equal(t, "audit head", last[len(last)-1], "the head is the last word: %s", strings.Join(last, "; "))
}

// stopSoon is how long the stops here may take: far under a daemon's own budget.
const stopSoon = 2 * time.Second

// busy is how long SQLite waits for who else writes before it gives up.
const busy = 5 * time.Second

// seize keeps the store of a daemon from being written until the test ends.
func (d *daemon) seize() {
	d.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(d.path), "data", "remediator.db"))
	require.NoError(d.t, err)
	conn, err := db.Conn(context.Background())
	require.NoError(d.t, err)
	d.t.Cleanup(func() {
		require.NoError(d.t, conn.Close())
		require.NoError(d.t, db.Close())
	})
	_, err = conn.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	require.NoError(d.t, err)
}

// stopsInTime stops a daemon whose store is away.
func (d *daemon) stopsInTime() {
	d.t.Helper()
	http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), stopSoon)
	defer cancel()
	begin := time.Now()
	require.Error(d.t, d.app.Stop(ctx), "the end could not be recorded")
	require.Less(d.t, time.Since(begin), stopSoon+busy+time.Second, "the budget, and the one commit that is under way")
}

func TestStop_EndsWithinItsBudgetWhileTheStoreIsAway(t *testing.T) {
	noLeaks(t)
	o, _ := options(file(t, conf("live")))
	a, err := app.Start(t.Context(), o)
	require.NoError(t, err)
	d := &daemon{t: t, app: a, path: o.ConfigFile}
	d.seize()
	status, body := d.post(firing("api-0", time.Now()))
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	d.stopsInTime()
}

func TestStop_EndsWithinItsBudgetWhileARemediationWaitsForTheStore(t *testing.T) {
	noLeaks(t)
	o, logs := options(file(t, conf("live")))
	d := &daemon{t: t, path: o.ConfigFile}
	once, seized := sync.Once{}, make(chan struct{})
	o.Boundary = func(name string) {
		if name == "locked" {
			once.Do(func() { d.seize(); close(seized) })
		}
	}
	var err error
	d.app, err = app.Start(t.Context(), o)
	require.NoError(t, err)
	status, body := d.post(firing("api-0", time.Now()))
	require.Equal(t, http.StatusOK, status, body)
	<-seized
	require.Eventually(t, func() bool {
		return logs.FilterMessage("the audit store does not take records; waiting").Len() > 0
	}, 2*busy, 10*time.Millisecond)
	d.stopsInTime()
}
