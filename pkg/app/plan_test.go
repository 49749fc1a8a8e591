package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/engine"
)

func plan(t *testing.T, path, payload string) engine.Planned {
	t.Helper()
	n, err := alert.Decode([]byte(payload))
	require.NoError(t, err)
	planned, err := app.Plan(t.Context(), load(t, path, nil), n, time.Now())
	require.NoError(t, err)
	require.Len(t, planned, 1)
	return planned[0]
}

func TestPlan_KnowsTheHistoryOfAStoreInUse(t *testing.T) {
	noLeaks(t)
	start := time.Now().UTC().Truncate(time.Second)
	text := firing("api-0", start)
	path := file(t, conf("live"))
	require.Equal(t, "allowed", plan(t, path, text).Reason.Code, "no store yet is an empty history")
	require.NoDirExists(t, filepath.Join(filepath.Dir(path), "data"), "planning leaves nothing behind")

	d := runAt(t, path)
	status, body := d.post(text)
	require.Equal(t, 200, status, body)
	d.happened(1)
	head := d.status().Audit
	again := plan(t, path, text)
	require.Equal(t, "suppress attempts", again.Verdict+" "+again.Reason.Code, again.Reason.Text)
	require.Equal(t, "allowed", plan(t, path, firing("api-1", start)).Reason.Code, "another alert has no history")
	require.Equal(t, head, d.status().Audit, "planning records nothing")

	_, err := json.Marshal(again)
	require.NoError(t, err)
}

func TestPlan_RefusesAStoreThatCannotBeRead(t *testing.T) {
	path := file(t, conf("live"))
	require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(path), "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "data", "remediator.db"), []byte("not a database, but long enough to be looked at as one"), 0o600))
	n, err := alert.Decode([]byte(firing("api-0", time.Now())))
	require.NoError(t, err)
	_, err = app.Plan(t.Context(), load(t, path, nil), n, time.Now())
	require.ErrorContains(t, err, "remediator.db", "a history that cannot be read is not an empty one")
}
