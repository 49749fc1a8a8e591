package main

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/test/lab"
)

// TestDaemon_SameNotificationAThousandTimes: fifty connections at once deliver one
// notification twenty times each; the container is restarted once.
func TestDaemon_SameNotificationAThousandTimes(t *testing.T) {
	t.Parallel()
	ctx, s := play(t, crashConfig, lab.Options{})
	require.NoError(t, s.lab.Service(ctx, brokenOnce("api")))
	require.NoError(t, s.lab.WaitUnhealthy(ctx, "api"))
	require.NoError(t, s.serve(ctx, nil))
	body := notification(webhookAlert{job: "one", startsAt: time.Now()})

	const connections, each = 50, 20
	var accepted atomic.Int64
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			one := &http.Client{Transport: &http.Transport{}} // a connection of its own
			defer one.CloseIdleConnections()
			for range each {
				status, _, err := request(ctx, one, http.MethodPost, "http://"+s.at+"/webhook", body, nil)
				if err == nil && status == http.StatusOK {
					accepted.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, connections*each, accepted.Load(), "each is accepted")
	_, err := s.await(ctx, 1, want{"remediation.closed", map[string]string{"outcome": "succeeded"}})
	require.NoError(t, err)
	_, err = s.await(ctx, 1, want{"remediation.decided", map[string]string{"reason.code": "settling"}})
	require.NoError(t, err)
	require.NoError(t, s.daemon.stop(ctx))

	received, err := s.records(ctx, "--type=notification.received")
	require.NoError(t, err)
	require.Len(t, received, connections*each, "each is recorded")
	for _, kind := range []string{"alert.firing", "step.started", "remediation.closed"} {
		found, err := s.records(ctx, "--type="+kind)
		require.NoError(t, err)
		require.Len(t, found, 1, kind)
	}
	restarts, err := s.lab.Restarts(ctx, "api")
	require.NoError(t, err)
	require.Equal(t, 1, restarts)
	_, err = s.program(ctx, "audit", "verify")
	require.NoError(t, err)
}
