package httpget

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/stellarescrow/remediator/pkg/actions"
)

const secret = "s3cr3t-t0ken"

// fakeServices is what Docker says.
type fakeServices struct {
	declared  []string
	running   bool
	ips       []netip.Addr
	published []netip.AddrPort
	err       error
	asked     int
	later     func() // runs after the first question
}

var _ Services = (*fakeServices)(nil)

func (f *fakeServices) Declared(s string) bool { return slices.Contains(f.declared, s) }
func (f *fakeServices) Services() []string     { return f.declared }
func (f *fakeServices) Target(s string) string { return "docker:local/" + s }
func (f *fakeServices) Addresses(context.Context, string) (bool, []netip.Addr, []netip.AddrPort, error) {
	if f.asked++; f.asked == 1 && f.later != nil {
		defer f.later()
	}
	return f.running, f.ips, f.published, f.err
}

func decodeText(t *testing.T, with string, entries []Entry, s Services) (*get, error) {
	t.Helper()
	var n yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(with), &n))
	kind := Kinds(entries, s)[0]
	require.Equal(t, "http.get", kind.Name)
	step, err := kind.Decode(n.Content[0])
	if err != nil {
		return nil, err
	}
	return step.(*get), nil
}

func check(t *testing.T, with string, entries []Entry, s Services) actions.Result {
	t.Helper()
	g, err := decodeText(t, with, entries, s)
	require.NoError(t, err)
	return g.Check(t.Context(), actions.Scope{})
}

// server answers as the path says.
func server(t *testing.T) (*httptest.Server, netip.AddrPort) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "ready ", r.Header.Get("Authorization"), " ", r.Host)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("word ", 1<<20)) })
	mux.HandleFunc("/same", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo", http.StatusFound) })
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://other.invalid/", http.StatusFound)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, netip.MustParseAddrPort(s.Listener.Addr().String())
}

// closedPort refuses connections.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestGet_FailuresOfTheServiceItselfAreFailures(t *testing.T) {
	s, at := server(t)
	closed := closedPort(t)
	mine := &fakeServices{declared: []string{"api"}, running: true, published: []netip.AddrPort{at, closed}}
	for _, c := range []struct{ path, why string }{{"/hang", "timed out"}, {"/cut", "EOF"}} {
		res := check(t, fmt.Sprintf("{url: %s%s, service: api, timeout: 300ms}", s.URL, c.path), nil, mine)
		require.False(t, res.Unknown, "%s: %s", c.path, res.Text)
		require.False(t, res.OK)
		require.Contains(t, res.Text, c.why)
	}
	refused := fmt.Sprintf("{url: 'http://%s/', service: api}", closed)
	res := check(t, refused, nil, mine)
	require.False(t, res.Unknown, res.Text)
	require.False(t, res.OK)
	require.Contains(t, res.Text, "connection refused")

	any4 := netip.AddrPortFrom(netip.IPv4Unspecified(), closed.Port())
	require.False(t, check(t, refused, nil, &fakeServices{declared: []string{"api"}, running: true, published: []netip.AddrPort{any4}}).Unknown,
		"published on every address, loopback included")
	require.False(t, check(t, refused, nil, &fakeServices{declared: []string{"api"}, running: true, ips: []netip.Addr{closed.Addr()}}).Unknown)

	res = check(t, refused, nil, &fakeServices{declared: []string{"api"}})
	require.False(t, res.Unknown)
	require.Contains(t, res.Text, "no container of api runs")
}

func TestGet_AContainerThatStopsMeanwhileIsAFailure(t *testing.T) {
	f := &fakeServices{declared: []string{"api"}, running: true}
	f.later = func() { f.running = false }
	res := check(t, "{url: 'http://api:1/', service: api}", nil, f)
	require.False(t, res.Unknown, res.Text)
	require.Contains(t, res.Text, "no container of api runs any more")
}

func TestGet_AHostNamedAsItsServiceIsDialledAtTheContainer(t *testing.T) {
	_, at := server(t)
	f := &fakeServices{declared: []string{"api"}, running: true, ips: []netip.Addr{netip.MustParseAddr("127.0.0.2"), at.Addr()}}
	res := check(t, fmt.Sprintf("{url: 'http://api:%d/echo', service: api, match: 'api:%d$'}", at.Port(), at.Port()), nil, f)
	require.True(t, res.OK, "the second address answers: %s", res.Text)
	require.Equal(t, 1, f.asked)

	res = check(t, "{url: 'http://api:1/', service: api}", nil, &fakeServices{declared: []string{"api"}, running: true})
	require.True(t, res.Unknown, "it runs and has no address")
}

func TestGet_AnEntryGivesItsBearerToItsOwnHostAlone(t *testing.T) {
	s, _ := server(t)
	entries := []Entry{{Name: "api", URL: s.URL, Bearer: secret}}
	res := check(t, "{http: api, path: /echo, match: 'Bearer "+secret[:4]+"'}", entries, &fakeServices{})
	require.True(t, res.OK, res.Text)
	require.NotContains(t, fmt.Sprint(res.Outputs), secret)
	require.Contains(t, res.Outputs["body"], actions.Redacted)

	for _, path := range []string{"@evil.invalid/", "//evil.invalid/", ".evil.invalid/", "http://evil.invalid/", ":80@evil.invalid"} {
		g, err := decodeText(t, fmt.Sprintf("{http: api, path: '%s'}", path), entries, &fakeServices{})
		require.NoError(t, err)
		u, err := g.address(actions.Scope{})
		if err == nil {
			require.Equal(t, strings.TrimPrefix(s.URL, "http://"), u.Host, path)
			require.Nil(t, u.User, path)
		}
	}
	dead := []Entry{{Name: "api", URL: "http://user:" + secret + "@127.0.0.1:1/?k=" + secret, Bearer: secret}}
	res = check(t, "{http: api}", dead, &fakeServices{})
	require.NotContains(t, res.Text, secret)
}

func TestGet_MistakesAtLoad(t *testing.T) {
	entries := []Entry{{Name: "indexer", URL: "http://127.0.0.1:1"}, {Name: "far", URL: "http://127.0.0.1:1", Service: "nowhere"}}
	for with, want := range map[string]string{
		"{}":                              "either url or http",
		"{url: http://a, http: indexer}":  "either url or http",
		"{url: http://a, path: /x}":       "path goes with http",
		"{http: indxer}":                  `1:8: undeclared http entry "indxer": did you mean "indexer"?`,
		"{http: far}":                     `1:8: service "nowhere" is not declared`,
		"{url: ftp://a}":                  "bad url",
		"{url: http://a, service: ap}":    `1:26: service "ap" is not declared: did you mean "api"?`,
		"{url: http://a, status: up}":     "write a status such as 200",
		"{url: http://a, status: []}":     "want a status",
		"{url: http://a, status: 99}":     "bad status 99",
		"{url: http://a, match: '('}":     "bad match",
		"{url: http://a, timeout: 0}":     "longer than 0",
		"{url: http://a, methd: GET}":     "unknown key",
		"{url: 'http://{{ .Labls.a }}/'}": "there is no .Labls",
	} {
		_, err := decodeText(t, with, entries, &fakeServices{declared: []string{"api"}})
		require.ErrorContains(t, err, want, with)
	}
	g, err := decodeText(t, "{url: 'http://{{ .Labels.host }}/{{ .Steps.a.text }}', service: api}", nil, &fakeServices{declared: []string{"api"}})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, g.Needs())
	targets, err := g.Targets(actions.Scope{})
	require.NoError(t, err)
	require.Equal(t, []string{"docker:local/api"}, targets.Names)
	require.True(t, g.Check(t.Context(), actions.Scope{}).Unknown, "the step that it reads has not run")
}

func TestDialer_UnspecifiedMeansThisHostAlone(t *testing.T) {
	d := &dialer{
		published: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:3000"), netip.MustParseAddrPort("10.0.0.1:80")},
		local:     func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil },
	}
	for addr, want := range map[string]bool{
		"127.0.0.1:3000": true, "[::1]:3000": true, "192.0.2.1:3000": true, "192.0.2.2:3000": false,
		"127.0.0.1:80": false, "10.0.0.1:80": true, "127.0.0.1:3001": false,
	} {
		host, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		require.Equal(t, want, d.owns(netip.MustParseAddr(host), port), addr)
	}
}

func TestPlace_ShowsNoCredentials(t *testing.T) {
	u, err := url.Parse("https://user:" + secret + "@host/path?token=" + secret + "#" + secret)
	require.NoError(t, err)
	require.Equal(t, "https://host/path", place(u))
}

func TestProbes_AskEachEntry(t *testing.T) {
	s, _ := server(t)
	probes := Probes([]Entry{{Name: "up", URL: s.URL + "/echo", Bearer: secret}, {Name: "down", URL: s.URL + "/status/500"}}, &fakeServices{})
	require.True(t, probes["up"](t.Context()).OK)
	require.Contains(t, probes["down"](t.Context()).Text, "answered 500")
}

func TestGet_ALongAnswerIsCutAndNotTakenForAllOfIt(t *testing.T) {
	s, _ := server(t)
	res := check(t, fmt.Sprintf("{url: %s/big}", s.URL), nil, &fakeServices{})
	require.True(t, res.OK)
	require.Less(t, len(res.Outputs["body"].(string)), shownBody+100)
	require.Contains(t, res.Outputs["body"], "bytes cut]")
	res = check(t, fmt.Sprintf("{url: %s/big, match: absent}", s.URL), nil, &fakeServices{})
	require.True(t, res.Unknown, "what was not read may match")
}
