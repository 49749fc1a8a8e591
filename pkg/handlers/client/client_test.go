package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/handlers/client"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

func TestClient_SendsTokenAndReadsAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			problem.New(401, "token_unknown", "the token is not known").Write(w)
		case r.URL.Path == "/proxy":
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		default:
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write([]byte(`{"content_type":"` + r.Header.Get("Content-Type") + `","got":` + string(b) + `}`))
		}
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("secret\n"), 0o600))
	c, err := client.New(client.Options{URL: server.URL + "/", TokenFile: path})
	require.NoError(t, err)
	var out struct {
		Type string         `json:"content_type"`
		Got  map[string]int `json:"got"`
	}
	require.NoError(t, c.Do(t.Context(), "POST", "/x", map[string]int{"a": 1}, &out))
	require.Equal(t, "application/json", out.Type)
	require.Equal(t, map[string]int{"a": 1}, out.Got)

	var p *problem.Problem
	for path, status := range map[string]int{"/proxy": 502, "/moved": 302} {
		require.ErrorAs(t, c.Do(t.Context(), "GET", path, nil, nil), &p)
		require.Equal(t, status, p.Status)
		require.Equal(t, "not_remediator", p.Code)
	}
	other, err := client.New(client.Options{URL: server.URL})
	require.NoError(t, err)
	require.ErrorAs(t, other.Do(t.Context(), "GET", "/x", nil, nil), &p)
	require.Equal(t, "token_unknown", p.Code)
}

func TestNew_Refusals(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	for message, o := range map[string]client.Options{
		"where is the daemon":      {},
		"goes with --url":          {Socket: "/s", TokenFile: "/t"},
		"want http://HOST:PORT":    {URL: "localhost:9095"},
		"holds no token":           {URL: "http://localhost", TokenFile: empty},
		"--token-file: open":       {URL: "http://localhost", TokenFile: empty + "x"},
		"certificate authority":    {URL: "https://localhost", CAFile: empty + "x"},
		"holds no PEM certificate": {URL: "https://localhost", CAFile: empty},
	} {
		_, err := client.New(o)
		require.ErrorContains(t, err, message)
	}
}
