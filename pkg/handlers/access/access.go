// Package access decides who may ask for what over HTTP (design §8): bearer
// tokens with roles, users proved by a client certificate or by basic auth, the
// peer of the control socket, or, without any of them, whoever is on this host.
package access

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a token or a user may do.
type Role string

// The roles of design §8.
const (
	Alertmanager Role = "alertmanager" // posts notifications, nothing else
	Viewer       Role = "viewer"       // reads
	Operator     Role = "operator"     // reads and controls
)

var roles = []Role{Alertmanager, Viewer, Operator}

// Need is what an endpoint asks of its caller.
type Need int

// What endpoints need.
const (
	Open    Need = iota // health: anybody who reaches it
	Webhook             // posting a notification
	View                // reading
	Control             // changing what the daemon does
)

// String names the need as error texts do.
func (n Need) String() string {
	return [...]string{"health", "posting notifications", "viewing", "control"}[n]
}

// May tells whether the role suffices.
func (r Role) May(n Need) bool {
	switch n {
	case Open:
		return true
	case Webhook:
		return r == Alertmanager
	case View:
		return r == Viewer || r == Operator
	case Control:
		return r == Operator
	}
	return false
}

// Identity is a caller whose claim was checked.
type Identity struct {
	Name string // empty: nobody in particular
	Role Role
	Via  string // token, certificate, basic, socket, loopback, open
}

// Actor is the identity as records name it: "user:NAME", else "system".
func (i Identity) Actor() string {
	if i.Name == "" {
		return "system"
	}
	return "user:" + i.Name
}

// Token is one entry of web.tokens: a file that holds a bearer token.
type Token struct {
	Role Role   `yaml:"role"`
	Name string `yaml:"name"`
	File string `yaml:"file"`
}

// Config is the configuration's web section.
type Config struct {
	Tokens []Token         `yaml:"tokens,omitempty"`
	Users  map[string]Role `yaml:"users,omitempty"`
}

// Validate refuses unknown roles, and tokens without or with a taken name.
// Files are read by New, not here.
func (c Config) Validate() error {
	names := map[string]int{}
	for i, t := range c.Tokens {
		at := fmt.Sprintf("web.tokens[%d]", i)
		if t.Name == "" {
			return fmt.Errorf("%s: name is missing: it is the actor that records name", at)
		}
		if strings.ContainsFunc(t.Name, unprintable) {
			return fmt.Errorf("%s: name %q holds a space or a control character", at, t.Name)
		}
		if j, taken := names[t.Name]; taken {
			return fmt.Errorf("%s: name %q is that of web.tokens[%d] already", at, t.Name, j)
		}
		names[t.Name] = i
		if err := t.Role.check(); err != nil {
			return fmt.Errorf("%s %q: %w", at, t.Name, err)
		}
		if t.File == "" {
			return fmt.Errorf("%s %q: file is missing: write the path of a file that holds the token", at, t.Name)
		}
	}
	for name, role := range c.Users {
		if name == "" {
			return fmt.Errorf("web.users: an empty name")
		}
		if err := role.check(); err != nil {
			return fmt.Errorf("web.users %q: %w", name, err)
		}
	}
	return nil
}

func (r Role) check() error {
	if slices.Contains(roles, r) {
		return nil
	}
	return fmt.Errorf("unknown role %q: write alertmanager, viewer or operator", string(r))
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }
