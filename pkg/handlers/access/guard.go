package access

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// Options of a Guard.
type Options struct {
	Config        Config
	Address       string // to listen on
	WebConfigFile string // of exporter-toolkit, or empty
	Insecure      bool   // --web.insecure
	Logger        *zap.Logger
}

// Guard decides requests that came over TCP. It is immutable but for the token
// files, which are read at every use, so that a rotated token counts at once.
type Guard struct {
	o        Options
	web      WebConfig
	hostOnly bool // the Host header must be a loopback name

	mu     sync.Mutex // guards faults
	faults string     // last report about token files
}

// New checks everything that can be wrong with who may reach the daemon: roles,
// token files, the web config, their combination, and the address.
func New(o Options) (*Guard, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	w, err := LoadWebConfig(o.WebConfigFile)
	if err != nil {
		return nil, err
	}
	tokens := len(o.Config.Tokens) > 0
	if tokens && w.BasicAuth {
		return nil, fmt.Errorf("web.tokens and basic_auth_users of %s exclude each other: a request has one Authorization header, and basic auth refuses every bearer token: remove one of them", o.WebConfigFile)
	}
	if err := CheckListen(o.Address, tokens, w.Proves(), o.Insecure); err != nil {
		return nil, err
	}
	if w.Proves() && !tokens && len(o.Config.Users) == 0 {
		return nil, fmt.Errorf("%s proves names, but web.users gives none of them a role: every request would be refused: add web.users", o.WebConfigFile)
	}
	all, err := readTokens(o.Config.Tokens)
	if err == nil {
		err = distinct(all)
	}
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	// Beyond loopback, where --web.insecure allowed it, any name is as good.
	hostOnly := !tokens && !w.Proves() && loopbackHostHeader(o.Address)
	return &Guard{o: o, web: w, hostOnly: hostOnly}, nil
}

// Mode says, for the log, how callers are told apart.
func (g *Guard) Mode() string {
	var ways []string
	if len(g.o.Config.Tokens) > 0 {
		ways = append(ways, "tokens")
	}
	if g.web.BasicAuth {
		ways = append(ways, "basic auth")
	}
	if g.web.Certs {
		ways = append(ways, "client certificates")
	}
	switch {
	case len(ways) > 0:
		return strings.Join(ways, ", ")
	case g.hostOnly:
		return "loopback only"
	}
	return "none"
}

// TLS tells whether the web config makes the server speak TLS.
func (g *Guard) TLS() bool { return g.web.TLS }

// RequireContentType tells whether a POST must say application/json even when
// it comes without any content type: without authentication that header is what
// keeps a page in somebody's browser from posting.
func (g *Guard) RequireContentType() bool { return g.anonymous() }

func (g *Guard) anonymous() bool { return len(g.o.Config.Tokens) == 0 && !g.web.Proves() }

// Authorize says who asks, or refuses with a *problem.Problem.
func (g *Guard) Authorize(r *http.Request, need Need) (Identity, error) {
	if g.anonymous() {
		return g.nobody(r, need)
	}
	if need == Open {
		return Identity{Via: "open"}, nil
	}
	who, err := g.identify(r)
	if err != nil {
		return Identity{}, err
	}
	if !who.Role.May(need) {
		return Identity{}, problem.New(http.StatusForbidden, "role_not_allowed", "%s has the role %s, which does not allow %s", who.Name, who.Role, need)
	}
	return who, nil
}

// nobody decides where callers cannot prove anything.
func (g *Guard) nobody(r *http.Request, need Need) (Identity, error) {
	if g.hostOnly && !loopbackHostHeader(r.Host) {
		return Identity{}, problem.New(http.StatusForbidden, "host_not_loopback", "without authentication only requests to a loopback name are answered (127.0.0.1, [::1], localhost): the Host header says otherwise")
	}
	if need == Control {
		return Identity{}, problem.New(http.StatusForbidden, "control_needs_auth", "without authentication control is refused over TCP: use control.sock beside the store, or configure web.tokens")
	}
	return Identity{Via: "loopback"}, nil
}

func (g *Guard) identify(r *http.Request) (Identity, error) {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "Bearer")
	switch {
	case len(g.o.Config.Tokens) > 0 && bearer:
		return g.byToken(strings.TrimLeft(credential, " "))
	case g.web.BasicAuth:
		return g.byBasicAuth(r)
	case g.web.Certs && r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return g.byName(certName(r), "certificate")
	case len(g.o.Config.Tokens) > 0:
		return Identity{}, problem.New(http.StatusUnauthorized, "token_missing", "send a token: Authorization: Bearer ...").
			With("WWW-Authenticate", `Bearer realm="remediator"`)
	}
	return Identity{}, problem.New(http.StatusUnauthorized, "certificate_missing", "send a client certificate")
}

func (g *Guard) byToken(presented string) (Identity, error) {
	all, err := readTokens(g.o.Config.Tokens)
	g.report(err)
	if t, ok := match(all, presented); ok {
		return Identity{Name: t.Name, Role: t.Role, Via: "token"}, nil
	}
	if err != nil {
		// It may be the one that cannot be read, as in the middle of a rotation:
		// a 401 would make Alertmanager drop what it sends.
		return Identity{}, problem.Unavailable(5*time.Second, "token_unreadable", "the token is unknown, but a token file cannot be read now: see the log")
	}
	return Identity{}, problem.New(http.StatusUnauthorized, "token_unknown", "the token is not known").
		With("WWW-Authenticate", `Bearer realm="remediator", error="invalid_token"`)
}

// report logs trouble with token files once, and once that it is over.
func (g *Guard) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	g.mu.Lock()
	changed := text != g.faults
	g.faults = text
	g.mu.Unlock()
	switch {
	case changed && err != nil:
		g.o.Logger.Warn("token file cannot be read, its token is refused", zap.Error(err))
	case changed:
		g.o.Logger.Info("token files can be read again")
	}
}

// byBasicAuth takes the name that exporter-toolkit has just verified. The toolkit
// reads its file at every request; once basic_auth_users is gone from it nobody
// has verified anything, and a name in the header proves nothing.
func (g *Guard) byBasicAuth(r *http.Request) (Identity, error) {
	now, _, err := peek(g.o.WebConfigFile)
	if err != nil || !now.BasicAuth {
		return Identity{}, problem.Unavailable(5*time.Second, "web_config_changed", "basic auth was switched off in the web config while running: restart remediator").Because(err)
	}
	name, _, ok := r.BasicAuth()
	if !ok {
		return Identity{}, problem.New(http.StatusUnauthorized, "credentials_missing", "send a user name and a password").
			With("WWW-Authenticate", "Basic")
	}
	return g.byName(name, "basic")
}

func (g *Guard) byName(name, via string) (Identity, error) {
	role, ok := g.o.Config.Users[name]
	if !ok || name == "" {
		return Identity{}, problem.New(http.StatusForbidden, "user_not_mapped", "%q is proved but has no role: add it to web.users", name)
	}
	return Identity{Name: name, Role: role, Via: via}, nil
}

// certName is the one name of a verified client certificate: its common name;
// where that is empty, its first DNS name, else its first e-mail address. One
// name and not any of them, so that a certificate cannot be several users.
func certName(r *http.Request) string {
	cert := r.TLS.VerifiedChains[0][0]
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	}
	return ""
}
