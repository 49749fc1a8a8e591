package httpget

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/alert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bearer = "t0ken-0f-the-3ntry"

// services is a Docker that knows one service.
type services struct {
	running   bool
	ips       []netip.Addr
	published []netip.AddrPort
	err       error
	asked     int
}

func (*services) Declared(service string) bool { return service == "indexer" }
func (*services) Services() []string           { return []string{"indexer"} }
func (*services) Target(service string) string { return "docker:local/" + service }
func (s *services) Addresses(context.Context, string) (bool, []netip.Addr, []netip.AddrPort, error) {
	s.asked++
	return s.running, s.ips, s.published, s.err
}

// at is a service that is published at an address.
func at(address string) *services {
	return &services{running: true, ips: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, published: []netip.AddrPort{netip.MustParseAddrPort(address)}}
}

func try(svc Services, with string, entries ...Entry) (actions.Step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(with), &doc); err != nil {
		return nil, err
	}
	return Kinds(entries, svc)[0].Decode(doc.Content[0])
}

func ask(t *testing.T, svc Services, with string, entries ...Entry) actions.Result {
	t.Helper()
	step, err := try(svc, with, entries...)
	require.NoError(t, err)
	return step.(actions.Check).Check(t.Context(), actions.Scope{Alert: alert.Alert{Labels: template.KV{"path": "/deep"}}})
}

// serve answers with a handler; it gives the address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// accept does something with each connection, below HTTP.
func accept(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// nobody is an address at which connections are refused.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestGet_NoAnswerIsTheServicesFailureOnlyAtItsOwnAddress(t *testing.T) {
	var held []net.Conn
	t.Cleanup(func() {
		for _, c := range held {
			_ = c.Close()
		}
	})
	silentAt := map[string]string{
		"refused": nobody(t),
		"closed":  accept(t, func(c net.Conn) { _ = c.Close() }),
		"reset": accept(t, func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}),
		"cut in the body": serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}),
		"hangs": accept(t, func(c net.Conn) { held = append(held, c) }),
	}
	for name, address := range silentAt {
		t.Run(name, func(t *testing.T) {
			res := ask(t, at(address), "{url: 'http://"+address+"/health', service: indexer, timeout: 300ms}")
			require.False(t, res.OK)
			require.False(t, res.Unknown, "at its own address: %s", res.Text)

			res = ask(t, at("127.0.0.1:1"), "{url: 'http://"+address+"/health', service: indexer, timeout: 300ms}")
			require.True(t, res.Unknown, "at somebody else's: %s", res.Text)

			res = ask(t, at(address), "{url: 'http://"+address+"/health', timeout: 300ms}")
			require.True(t, res.Unknown, "without a service: %s", res.Text)
		})
	}
}

func TestGet_WhatSaysNothingAboutTheServiceIsUnknown(t *testing.T) {
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	tls.Config.ErrorLog = nil
	address := strings.TrimPrefix(tls.URL, "https://")
	res := ask(t, at(address), "{url: '"+tls.URL+"', service: indexer}")
	require.True(t, res.Unknown, "a certificate that is not trusted: %s", res.Text)

	res = ask(t, at("127.0.0.1:1"), "{url: 'http://no-such-host.invalid/', service: indexer}")
	require.True(t, res.Unknown, "a name that does not resolve: %s", res.Text)

	res = ask(t, &services{err: errors.New("no engine")}, "{url: 'http://127.0.0.1:1/', service: indexer}")
	require.True(t, res.Unknown)
	require.Contains(t, res.Text, "Docker could not be asked")

	res = ask(t, &services{}, "{url: 'http://127.0.0.1:1/', service: indexer}")
	require.False(t, res.Unknown)
	require.False(t, res.OK, "no running container is an answer")
	require.Contains(t, res.Text, "no container of indexer runs")
}

func TestGet_AHostThatIsItsServiceIsDialledAtTheContainer(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+r.URL.Path) })
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	svc := &services{running: true, ips: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	for range 2 {
		res := ask(t, svc, "{url: 'http://indexer:"+port+"{{ .Labels.path }}', service: indexer, match: '^indexer:.*/deep$'}")
		require.True(t, res.OK, res.Text)
	}
	require.Equal(t, 2, svc.asked, "looked up anew for each connection")

	svc.ips = nil
	res := ask(t, svc, "{url: 'http://indexer:"+port+"/', service: indexer}")
	require.True(t, res.Unknown, "no address of its own: %s", res.Text)
}

func TestGet_JudgesStatusAndBody(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, `{"synced":true}`)
	})
	for with, want := range map[string]bool{
		"path: /": true, "path: /bad": false, "path: /bad, status: 503": true, "path: /bad, status: [200, 503]": true,
		"path: /, status: 204": false, "path: /, match: 'synced.:true'": true, "path: /, match: '^true'": false,
		"path: /bad, match: synced": false,
	} {
		res := ask(t, at(address), "{http: indexer, "+with+"}", Entry{Name: "indexer", Service: "indexer", URL: "http://" + address})
		require.Equal(t, want, res.OK, with)
		require.False(t, res.Unknown, with)
		require.Equal(t, `{"synced":true}`, res.Outputs["body"])
		require.IsType(t, 0, res.Outputs["latency_ms"])
	}
	res := ask(t, at(address), "{http: indexer, path: /bad}", Entry{Name: "indexer", URL: "http://" + address})
	require.Equal(t, http.StatusServiceUnavailable, res.Outputs["status"])
}

func TestGet_TheBearerGoesToItsEntryAndNowhereElse(t *testing.T) {
	stolen := make(chan string, 10)
	thief := serve(t, func(_ http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("Authorization") })
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://"+thief+"/", http.StatusFound)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+bearer {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "you said "+r.Header.Get("Authorization"))
	})
	entry := Entry{Name: "indexer", URL: "http://" + address, Bearer: bearer}
	res := ask(t, at(address), "{http: indexer, path: '/?q="+bearer+"'}", entry)
	require.True(t, res.OK, res.Text)
	require.NotContains(t, res.Text, bearer)
	require.NotContains(t, res.Outputs["body"], bearer)

	res = ask(t, at(address), "{http: indexer, path: /away}", entry)
	require.False(t, res.OK)
	require.Equal(t, http.StatusFound, res.Outputs["status"], "another host is not followed to")
	require.Empty(t, stolen)
}

func TestGet_TheCallersHurryIsNotTheServicesFailure(t *testing.T) {
	over := make(chan struct{})
	address := accept(t, func(c net.Conn) {
		<-over
		_ = c.Close()
	})
	t.Cleanup(func() { close(over) })
	step, err := try(at(address), "{url: 'http://"+address+"/', service: indexer, timeout: 10s}")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	res := step.(actions.Check).Check(ctx, actions.Scope{})
	require.True(t, res.Unknown, res.Text)
}

func TestGet_NamesItsService(t *testing.T) {
	step, err := try(at("127.0.0.1:1"), "{http: indexer, path: '{{ .Steps.a.x }}'}", Entry{Name: "indexer", Service: "indexer", URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, step.Needs())
	targets, err := step.Targets(actions.Scope{})
	require.NoError(t, err)
	require.Equal(t, actions.Targets{Names: []string{"docker:local/indexer"}, Exact: true}, targets)
	res := step.(actions.Check).Check(t.Context(), actions.Scope{})
	require.True(t, res.Unknown, "a step that has not run")
}

func TestDecode_Mistakes(t *testing.T) {
	for with, want := range map[string]string{
		"{}":                                  "either url or http",
		"{url: 'http://a/', http: indexer}":   "either url or http",
		"{url: 'ftp://a/'}":                   "bad url",
		"{url: 'http://a/', path: /x}":        "path goes with http",
		"{http: indxer}":                      `did you mean "indexer"?`,
		"{url: 'http://a/', service: indxer}": `did you mean "indexer"?`,
		"{url: 'http://a/', status: 99}":      "100 to 599",
		"{url: 'http://a/', status: ok}":      "write a status",
		"{url: 'http://a/', match: '('}":      "regular expression",
		"{url: 'http://a/', timeout: 0s}":     "longer than 0",
		"{url: 'http://a/', timeout: 2m}":     "at most 1m",
		"{url: 'http://a/', methd: GET}":      "unknown key",
		"{url: '{{ .Lables.x }}'}":            "Labels",
	} {
		_, err := try(at("127.0.0.1:1"), with, Entry{Name: "indexer", URL: "http://127.0.0.1:1"})
		require.ErrorContains(t, err, want, with)
		require.Regexp(t, `^1:\d+: `, err.Error(), with)
	}
}
