package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/internal/certs"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestCheckListen(t *testing.T) {
	tests := []struct {
		addr                  string
		tokens, web, insecure bool
		refused               string
	}{
		{addr: "127.0.0.1:9095"},
		{addr: "127.9.9.9:0"},
		{addr: "[::1]:9095"},
		{addr: "[::ffff:127.0.0.1]:9095"},
		{addr: "localhost:9095"},
		{addr: ":9095", refused: "beyond this host"},
		{addr: "0.0.0.0:9095", refused: "web.tokens"},
		{addr: "[::]:9095", refused: "--web.insecure"},
		{addr: "192.0.2.1:9095", refused: "beyond this host"},
		{addr: "localhost.example.org:9095", refused: "beyond this host"},
		{addr: "127.0.0.1.example.org:9095", refused: "beyond this host"},
		{addr: ":9095", tokens: true},
		{addr: ":9095", web: true},
		{addr: ":9095", insecure: true},
		{addr: "9095", tokens: true, refused: "HOST:PORT"},
	}
	for _, tt := range tests {
		err := access.CheckListen(tt.addr, tt.tokens, tt.web, tt.insecure)
		if tt.refused == "" {
			require.NoError(t, err, tt.addr)
			continue
		}
		require.ErrorContains(t, err, tt.refused, tt.addr)
	}
}

func TestNew_Refusals(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good"), "secret-token\n")
	token := func(name, content string) access.Config {
		return access.Config{Tokens: []access.Token{{Role: access.Viewer, Name: "v", File: write(t, filepath.Join(dir, name), content)}}}
	}
	users := "basic_auth_users:\n  bob: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n"
	two := func(a, b access.Token) access.Config { return access.Config{Tokens: []access.Token{a, b}} }
	tests := []struct {
		name, web string
		config    access.Config
		message   string
	}{
		{name: "unknown role", config: access.Config{Tokens: []access.Token{{Role: "admin", Name: "a", File: good}}}, message: `web.tokens[0] "a": unknown role "admin": write alertmanager, viewer or operator`},
		{name: "no name", config: access.Config{Tokens: []access.Token{{Role: "viewer", File: good}}}, message: "web.tokens[0]: name is missing"},
		{name: "no file", config: access.Config{Tokens: []access.Token{{Role: "viewer", Name: "a"}}}, message: `web.tokens[0] "a": file is missing`},
		{name: "name twice", config: two(access.Token{Role: "viewer", Name: "a", File: good}, access.Token{Role: "viewer", Name: "a", File: good}), message: `web.tokens[1]: name "a" is that of web.tokens[0] already`},
		{name: "token twice", config: two(access.Token{Role: "viewer", Name: "a", File: good}, access.Token{Role: "operator", Name: "b", File: good}), message: `web.tokens "a" and "b" are the same token`},
		{name: "user role", config: access.Config{Users: map[string]access.Role{"bob": "root"}}, message: `web.users "bob": unknown role "root"`},
		{name: "missing file", config: access.Config{Tokens: []access.Token{{Role: "viewer", Name: "a", File: filepath.Join(dir, "none")}}}, message: `web.tokens "a": open `},
		{name: "empty file", config: token("e0", ""), message: "holds no token: it is empty"},
		{name: "a newline only", config: token("e1", "\n"), message: "holds no token: it is empty"},
		{name: "two newlines", config: token("e2", "abc\n\n"), message: "write it as one line"},
		{name: "carriage return", config: token("e3", "abc\r\n"), message: "write it as one line"},
		{name: "rate limit", web: "rate_limit:\n  interval: 1s\n  burst: 5\n", message: "rate_limit answers 429, upon which Alertmanager drops the notification (it retries 5xx only): remove rate_limit"},
		{name: "tokens with basic auth", web: users, config: token("t", "abc"), message: "exclude each other"},
		{name: "nobody is mapped", web: users, message: "add web.users"},
		{name: "unknown web key", web: "tls: {}\n", message: "field tls not found"},
		{name: "no certificate", web: "tls_server_config:\n  cert_file: none.pem\n  key_file: none.key\n", message: "none.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := access.Options{Config: tt.config, Address: "127.0.0.1:0"}
			if tt.web != "" {
				o.WebConfigFile = write(t, filepath.Join(t.TempDir(), "web.yml"), tt.web)
			}
			_, err := access.New(o)
			require.ErrorContains(t, err, tt.message)
			require.NotContains(t, err.Error(), "secret-token")
		})
	}
}

func request(token string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://remediator.example:9095/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func status(t *testing.T, err error) (int, string) {
	t.Helper()
	var p *problem.Problem
	require.ErrorAs(t, err, &p)
	return p.Status, p.Code
}

func TestGuard_TokensRotateAndFailClosed(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	path := write(t, filepath.Join(t.TempDir(), "token"), "first\n")
	g, err := access.New(access.Options{
		Config:  access.Config{Tokens: []access.Token{{Role: access.Viewer, Name: "v", File: path}}},
		Address: ":9095", Logger: zap.New(core),
	})
	require.NoError(t, err)
	who, err := g.Authorize(request("first"), access.View)
	require.NoError(t, err)
	require.Equal(t, access.Identity{Name: "v", Role: access.Viewer, Via: "token"}, who)
	require.Equal(t, "user:v", who.Actor())

	write(t, path, "other") // as long as the one before, and at once
	_, err = g.Authorize(request("first"), access.View)
	code, _ := status(t, err)
	require.Equal(t, 401, code)
	_, err = g.Authorize(request("other"), access.View)
	require.NoError(t, err)

	for range 3 { // in the middle of a rotation, or revoked
		require.NoError(t, os.RemoveAll(path))
		_, err = g.Authorize(request("other"), access.View)
		code, name := status(t, err)
		require.Equal(t, 503, code, "a 401 would make Alertmanager drop the notification")
		require.Equal(t, "token_unreadable", name)
	}
	write(t, path, "")
	_, err = g.Authorize(request(""), access.View)
	code, _ = status(t, err)
	require.Equal(t, 401, code, "an empty file lets nobody in")
	write(t, path, "third\n")
	_, err = g.Authorize(request("third"), access.View)
	require.NoError(t, err)
	require.Len(t, logs.FilterLevelExact(zapcore.WarnLevel).All(), 1, "said once, not per request")
	for _, line := range logs.All() {
		require.NotContains(t, fmt.Sprint(line.ContextMap()), "other")
	}
}

func TestGuard_LoopbackHost(t *testing.T) {
	local, err := access.New(access.Options{Address: "127.0.0.1:9095", Insecure: true})
	require.NoError(t, err)
	public, err := access.New(access.Options{Address: "0.0.0.0:9095", Insecure: true})
	require.NoError(t, err)
	require.Equal(t, "loopback only", local.Mode())
	require.Equal(t, "none", public.Mode())
	for host, allowed := range map[string]bool{
		"127.0.0.1:9095": true, "localhost": true, "LOCALHOST:1": true, "localhost.:9095": true, "[::1]:9095": true, "[::1]": true, "127.1.2.3": true,
		"": false, "rebind.example.org:9095": false, "127.0.0.1.nip.io": false, "localhost.example.org": false, "10.0.0.1": false, "0.0.0.0:9095": false, "127.0.0.1@example.org": false, "2130706433": false,
	} {
		r := request("")
		r.Host = host
		for _, need := range []access.Need{access.Open, access.Webhook, access.View} {
			_, err = local.Authorize(r, need)
			if allowed {
				require.NoError(t, err, host)
			} else {
				code, name := status(t, err)
				require.Equal(t, 403, code, host)
				require.Equal(t, "host_not_loopback", name)
			}
			_, err = public.Authorize(r, need)
			require.NoError(t, err, "beyond loopback any name is as good: %s", host)
		}
		for _, g := range []*access.Guard{local, public} {
			_, err = g.Authorize(r, access.Control)
			code, _ := status(t, err)
			require.Equal(t, 403, code, "control needs a name, --web.insecure or not")
		}
	}
}

func TestRole_May(t *testing.T) {
	allowed := map[access.Role][]access.Need{
		access.Alertmanager: {access.Open, access.Webhook},
		access.Viewer:       {access.Open, access.View},
		access.Operator:     {access.Open, access.View, access.Control},
		"":                  {access.Open},
	}
	for role, needs := range allowed {
		for _, need := range []access.Need{access.Open, access.Webhook, access.View, access.Control} {
			require.Equal(t, slices.Contains(needs, need), role.May(need), "%s %s", role, need)
		}
	}
}

func webWithCerts(t *testing.T, dir string) string {
	ca := certs.New(t, dir)
	cert, key := ca.Issue(t, "server")
	return "tls_server_config:\n  cert_file: " + cert + "\n  key_file: " + key + "\n  client_ca_file: " + ca.File + "\n  client_auth_type: VerifyClientCertIfGiven\n"
}

// One certificate is one user: its common name wins over what else it says.
func TestGuard_NameOfACertificate(t *testing.T) {
	dir := t.TempDir()
	web := write(t, filepath.Join(dir, "web.yml"), webWithCerts(t, dir))
	g, err := access.New(access.Options{
		Config:  access.Config{Users: map[string]access.Role{"bob": access.Operator, "am.example.org": access.Alertmanager, "eve@example.org": access.Viewer}},
		Address: ":9095", WebConfigFile: web,
	})
	require.NoError(t, err)
	require.True(t, g.TLS())
	tests := []struct {
		cert x509.Certificate
		name string
	}{
		{x509.Certificate{Subject: pkix.Name{CommonName: "bob"}, DNSNames: []string{"am.example.org"}}, "bob"},
		{x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}, DNSNames: []string{"bob"}}, ""},
		{x509.Certificate{DNSNames: []string{"am.example.org", "bob"}, EmailAddresses: []string{"eve@example.org"}}, "am.example.org"},
		{x509.Certificate{EmailAddresses: []string{"eve@example.org"}}, "eve@example.org"},
		{x509.Certificate{}, ""},
	}
	for _, tt := range tests {
		r := request("")
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&tt.cert}, VerifiedChains: [][]*x509.Certificate{{&tt.cert}}}
		_, err := g.Authorize(r, access.Open)
		require.NoError(t, err)
		who, err := g.Authorize(r, access.View)
		if tt.name == "" {
			code, name := status(t, err)
			require.Equal(t, 403, code)
			require.Equal(t, "user_not_mapped", name)
			continue
		}
		if err == nil {
			require.Equal(t, tt.name, who.Name)
		} else {
			require.ErrorContains(t, err, tt.name+" has the role alertmanager")
		}
		r.TLS.VerifiedChains = nil // shown, but nobody vouched for it
		_, err = g.Authorize(r, access.View)
		code, _ := status(t, err)
		require.Equal(t, 401, code)
	}
}
