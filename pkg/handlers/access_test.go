package handlers_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/internal/certs"
)

// endpoints of the daemon with what they need of their caller.
var endpoints = []struct {
	method, path, body string
	need               access.Need
}{
	{"GET", "/-/healthy", "", access.Open},
	{"GET", "/-/ready", "", access.Open},
	{"POST", "/", notification, access.Webhook},
	{"POST", "/webhook", notification, access.Webhook},
	{"GET", "/metrics", "", access.View},
	{"GET", "/api/v1/status", "", access.View},
	{"GET", "/api/v1/remediations", "", access.View},
	{"GET", "/api/v1/remediations/r-1", "", access.View},
	{"GET", "/api/v1/audit", "", access.View},
	{"GET", "/api/v1/alerts", "", access.View},
	{"GET", "/api/v1/policies", "", access.View},
	{"GET", "/api/v1/upstreams", "", access.View},
	{"GET", "/api/v1/openapi.yaml", "", access.View},
	{"POST", "/-/reload", "", access.Control},
	{"POST", "/api/v1/pause", `{"policy":"p","reason":"why"}`, access.Control},
	{"POST", "/api/v1/resume", `{"policy":"p"}`, access.Control},
	{"POST", "/api/v1/plan", notification, access.Control},
	{"POST", "/api/v1/remediations/r-1/resume", "", access.Control},
	{"POST", "/api/v1/remediations/r-1/cancel", `{"reason":"why"}`, access.Control},
	{"POST", "/api/v1/remediations/r-1/approve", `{"plan_hash":"ab12","reason":"looked at it"}`, access.Control},
	{"POST", "/api/v1/remediations/r-1/reject", `{"reason":"not now"}`, access.Control},
	{"POST", "/api/v1/remediations", `{"policy":"p","reason":"why"}`, access.Control},
	{"POST", "/api/v1/clear", `{"target":"docker:local/api","reason":"mended"}`, access.Control},
}

func threeTokens(t *testing.T) func(*handlers.Options) {
	dir := t.TempDir()
	var tokens []access.Token
	for _, role := range []access.Role{access.Alertmanager, access.Viewer, access.Operator} {
		tokens = append(tokens, access.Token{Role: role, Name: "the-" + string(role), File: file(t, dir, string(role), "token-of-"+string(role)+"\n")})
	}
	return func(o *handlers.Options) { o.Access.Tokens = tokens }
}

func TestAccess_RolesAndEndpoints(t *testing.T) {
	s := serve(t, &daemon{}, threeTokens(t))
	allowed := map[access.Need][]string{
		access.Open: {"", "alertmanager", "viewer", "operator", "unknown"}, access.Webhook: {"alertmanager"},
		access.View: {"viewer", "operator"}, access.Control: {"operator"},
	}
	for _, e := range endpoints {
		for _, role := range []string{"", "alertmanager", "viewer", "operator", "unknown"} {
			t.Run(fmt.Sprintf("%s %s as %q", e.method, e.path, role), func(t *testing.T) {
				c := call{method: e.method, path: e.path, body: e.body}
				if role != "" {
					c.token = "token-of-" + role
				}
				want, code := 403, "role_not_allowed"
				switch role {
				case "":
					want, code = 401, "token_missing"
				case "unknown":
					want, code = 401, "token_unknown"
				}
				for _, r := range allowed[e.need] {
					if r == role {
						want, code = 200, ""
					}
				}
				a := c.do(t, s.url("http"))
				if want == 200 && e.path == "/api/v1/remediations" && e.method == "POST" {
					want = 201
				}
				require.Equal(t, want, a.StatusCode, "%s", a.body)
				require.Equal(t, code, a.problem.Code)
				if want == 401 {
					require.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer")
				}
			})
		}
	}
}

func TestAccess_WithoutAuthControlIsRefused(t *testing.T) {
	s := serve(t, &daemon{})
	for _, e := range endpoints {
		c := call{method: e.method, path: e.path, body: e.body}
		a := c.do(t, s.url("http"))
		if e.need == access.Control {
			require.Equal(t, 403, a.StatusCode, e.path)
			require.Contains(t, a.problem.Detail, "control.sock")
		} else {
			require.Equal(t, 200, a.StatusCode, "%s %s", e.path, a.body)
		}
		c.host = "rebind.example.org"
		a = c.do(t, s.url("http"))
		require.Equal(t, 403, a.StatusCode, e.path)
		require.Equal(t, "host_not_loopback", a.problem.Code)
	}
}

func TestAccess_ActorsAndBodiesOfControl(t *testing.T) {
	d := &daemon{}
	s := serve(t, d, threeTokens(t))
	operator := func(path, body string) answer {
		return call{method: "POST", path: path, body: body, token: "token-of-operator"}.do(t, s.url("http"))
	}
	for _, path := range []string{"/api/v1/pause", "/api/v1/resume", "/-/reload", "/api/v1/remediations/r-1/cancel"} {
		require.Equal(t, 200, operator(path, "").StatusCode, path)
	}
	require.Equal(t, 200, operator("/api/v1/pause", `{"target":"docker:local/api","reason":"migration","until":"2999-01-01T00:00:00Z"}`).StatusCode)
	require.Equal(t, []string{
		"pause by user:the-operator policy= target= reason=", "resume by user:the-operator policy= target= reason=", "reload by user:the-operator",
		"cancel r-1 by user:the-operator: ", "pause by user:the-operator policy= target=docker:local/api reason=migration",
	}, d.noted())
	// A misspelt field must not widen the scope to everything.
	for _, body := range []string{`{"polciy":"p"}`, `{"policy":"p"} x`, `{"policy":"p"}{}`, `[]`, `{"until":"2001-01-01T00:00:00Z"}`} {
		require.Equal(t, 400, operator("/api/v1/pause", body).StatusCode, body)
	}
	require.Equal(t, 413, operator("/api/v1/pause", `{"reason":"`+strings.Repeat("x", 70_000)).StatusCode)
	require.Equal(t, 404, operator("/api/v1/remediations/R_1/resume", "").StatusCode)
	require.Len(t, d.noted(), 5)
}

func TestAccess_ErrorsOfControl(t *testing.T) {
	d := &daemon{
		reload:     func(string) error { return fmt.Errorf("%w: config.yaml:3:1: unknown key", handlers.ErrRejected) },
		resumeHeld: func(string, string) error { return fmt.Errorf("r-1 is running: %w", handlers.ErrConflict) },
	}
	s := serve(t, d, threeTokens(t))
	a := call{method: "POST", path: "/-/reload", token: "token-of-operator"}.do(t, s.url("http"))
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, a.problem.Detail, "config.yaml:3:1")
	a = call{method: "POST", path: "/api/v1/remediations/r-1/resume", token: "token-of-operator"}.do(t, s.url("http"))
	require.Equal(t, 409, a.StatusCode)
	require.Contains(t, a.problem.Detail, "r-1 is running")
}

func TestServer_SwapsAccessWithoutRestart(t *testing.T) {
	s := serve(t, &daemon{}, threeTokens(t))
	dir := t.TempDir()
	next, err := s.PrepareAccess(access.Config{Tokens: []access.Token{{Role: access.Viewer, Name: "new", File: file(t, dir, "new", "new")}}})
	require.NoError(t, err)
	status := call{method: "GET", path: "/api/v1/status", token: "new"}
	require.Equal(t, 401, status.do(t, s.url("http")).StatusCode)
	s.SwapAccess(next)
	require.Equal(t, 200, status.do(t, s.url("http")).StatusCode)
	_, err = s.PrepareAccess(access.Config{Tokens: []access.Token{{Role: access.Viewer, Name: "new", File: filepath.Join(dir, "none")}}})
	require.Error(t, err)
}

// web is a TLS server of a test with its authority.
type webFiles struct {
	*certs.Authority
	config string
}

func webConfig(t *testing.T, more string) webFiles {
	t.Helper()
	dir := t.TempDir()
	ca := certs.New(t, dir)
	cert, key := ca.Issue(t, "server")
	text := fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n%s", cert, key, more)
	if more == "mutual" {
		text = fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n  client_ca_file: %s\n  client_auth_type: RequireAndVerifyClientCert\n", cert, key, ca.File)
	}
	return webFiles{ca, file(t, dir, "web.yml", text)}
}

func basicUsers(t *testing.T) string {
	t.Helper()
	text := "basic_auth_users:\n"
	for _, name := range []string{"am", "bob", "eve"} {
		hash, err := bcrypt.GenerateFromPassword([]byte("password-of-"+name), bcrypt.MinCost)
		require.NoError(t, err)
		text += "  " + name + ": " + string(hash) + "\n"
	}
	return text
}

// client trusts the authority and shows a certificate, if it is given one.
func (f webFiles) client(t *testing.T, commonName string) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: f.Pool}
	if commonName != "" {
		cert, err := tls.LoadX509KeyPair(f.Issue(t, commonName))
		require.NoError(t, err)
		config.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

var users = map[string]access.Role{"am": access.Alertmanager, "bob": access.Operator}

func TestAccess_BasicAuthOverTLS(t *testing.T) {
	d := &daemon{}
	f := webConfig(t, basicUsers(t))
	s := serve(t, d, func(o *handlers.Options) { o.WebConfigFile, o.Access.Users = f.config, users })
	client := f.client(t, "")
	ask := func(method, path, user, password string) answer {
		return call{method: method, path: path, body: map[string]string{"POST": notification}[method], user: user, pass: password, client: client}.do(t, s.url("https"))
	}
	require.Equal(t, 200, ask("POST", "/webhook", "am", "password-of-am").StatusCode)
	require.Equal(t, 401, ask("POST", "/webhook", "am", "password-of-bob").StatusCode)
	require.Equal(t, 401, ask("GET", "/-/healthy", "", "").StatusCode, "basic auth covers every path")
	require.Equal(t, 200, ask("GET", "/api/v1/status", "bob", "password-of-bob").StatusCode)
	require.Equal(t, "role_not_allowed", ask("GET", "/api/v1/status", "am", "password-of-am").problem.Code)
	unmapped := ask("GET", "/api/v1/status", "eve", "password-of-eve")
	require.Equal(t, 403, unmapped.StatusCode)
	require.Equal(t, "user_not_mapped", unmapped.problem.Code)

	reload := call{method: "POST", path: "/-/reload", contentType: "-", user: "bob", pass: "password-of-bob", client: client}
	require.Equal(t, 200, reload.do(t, s.url("https")).StatusCode)
	require.Equal(t, "reload by user:bob", d.noted()[1])
	// A page of another site posts with the password that the browser remembers.
	reload.header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example.org"}}
	require.Equal(t, "cross_origin", reload.do(t, s.url("https")).problem.Code)

	// Without the users in its file exporter-toolkit checks no password any more.
	b, err := os.ReadFile(f.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.config, b[:len(b)-len(basicUsers(t))], 0o600))
	require.Equal(t, "web_config_changed", ask("GET", "/api/v1/status", "bob", "wrong").problem.Code)
}

func TestAccess_ClientCertificates(t *testing.T) {
	d := &daemon{}
	f := webConfig(t, "mutual")
	s := serve(t, d, func(o *handlers.Options) { o.WebConfigFile, o.Access.Users = f.config, users })
	ask := func(name, method, path string) answer {
		return call{method: method, path: path, body: map[string]string{"/webhook": notification}[path], client: f.client(t, name)}.do(t, s.url("https"))
	}
	require.Equal(t, 200, ask("am", "POST", "/webhook").StatusCode)
	require.Equal(t, 403, ask("am", "POST", "/-/reload").StatusCode)
	require.Equal(t, 200, ask("bob", "POST", "/-/reload").StatusCode)
	require.Equal(t, "user_not_mapped", ask("eve", "GET", "/api/v1/status").problem.Code)
	require.Contains(t, d.noted(), "reload by user:bob")

	stranger := certs.New(t, t.TempDir())
	cert, err := tls.LoadX509KeyPair(stranger.Issue(t, "bob"))
	require.NoError(t, err)
	for _, config := range []*tls.Config{{RootCAs: f.Pool}, {RootCAs: f.Pool, Certificates: []tls.Certificate{cert}}, {RootCAs: x509.NewCertPool()}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("https")+"/-/healthy", nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		if err == nil {
			require.NoError(t, res.Body.Close())
		}
		require.Error(t, err, "the handshake fails")
	}
}
