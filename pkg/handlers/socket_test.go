package handlers_test

import (
	"context"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/client"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// socketPath is short, unlike t.TempDir: sockets have room for 107 bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rem") //nolint:usetesting // too long a path
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "data", "control.sock")
}

func overSocket(t *testing.T, path string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Socket: path})
	require.NoError(t, err)
	return c
}

func TestControlSocket_KnowsItsPeer(t *testing.T) {
	path := socketPath(t)
	d := &daemon{}
	s := serve(t, d, func(o *handlers.Options) { o.Socket = path })
	me, err := user.Current()
	require.NoError(t, err)
	c := overSocket(t, path)
	require.NoError(t, c.Do(t.Context(), "POST", "/api/v1/pause", handlers.PauseRequest{Reason: "deploy"}, nil))
	require.NoError(t, c.Do(t.Context(), "POST", "/api/v1/remediations/r-1/cancel", map[string]string{"reason": "why"}, nil))
	require.Equal(t, []string{"pause by user:" + me.Username + " policy= target= reason=deploy", "cancel r-1 by user:" + me.Username + ": why"}, d.noted())

	var status handlers.Status
	require.NoError(t, c.Do(t.Context(), "GET", "/api/v1/status", nil, &status))
	require.Equal(t, "dry-run", status.Mode)
	var refused *problem.Problem
	require.ErrorAs(t, c.Do(t.Context(), "GET", "/api/v1/remediations/r-2", nil, nil), &refused)
	require.Equal(t, 404, refused.Status)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, info.Mode())
	dir, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), dir.Mode().Perm())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "the directory in which the socket was made is gone")

	require.NoError(t, s.Shutdown(t.Context()))
	require.NoFileExists(t, path)
	require.ErrorContains(t, c.Do(t.Context(), "GET", "/api/v1/status", nil, nil), "is it running?")
}

func TestControlSocket_ReplacesADeadOneOnly(t *testing.T) {
	path := socketPath(t)
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	dead, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, dead.Close()) // as after kill -9: the file stays
	require.FileExists(t, path)

	serve(t, &daemon{}, func(o *handlers.Options) { o.Socket = path })
	require.NoError(t, overSocket(t, path).Do(t.Context(), "GET", "/-/healthy", nil, nil))

	o, _ := options(&daemon{})
	o.Socket = path
	second, err := handlers.NewServer(o)
	require.NoError(t, err)
	require.ErrorContains(t, second.Start(t.Context()), "another remediator answers at "+path)
	require.NoError(t, second.Shutdown(context.Background()))
	require.NoError(t, overSocket(t, path).Do(t.Context(), "GET", "/-/healthy", nil, nil), "the first one is unharmed")
}

func TestControlSocket_LeavesOtherFilesAlone(t *testing.T) {
	path := socketPath(t)
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
	o, _ := options(&daemon{})
	o.Socket = path
	s, err := handlers.NewServer(o)
	require.NoError(t, err)
	require.ErrorContains(t, s.Start(t.Context()), "is no socket")
	require.FileExists(t, path)
}
