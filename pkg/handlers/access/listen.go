package access

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// CheckListen refuses an address that others can reach when nothing would ask
// them who they are, unless insecure says that this is meant.
func CheckListen(addr string, hasTokens, hasWebConfigAuth, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: %w: write it as HOST:PORT", addr, err)
	}
	if hasTokens || hasWebConfigAuth || insecure || LoopbackHost(host) {
		return nil
	}
	return fmt.Errorf("refusing to listen on %q, which is beyond this host, without any authentication: configure web.tokens, or basic_auth_users or client certificates in --web.config.file with web.users, or listen on 127.0.0.1 (--web.insecure overrides this)", addr)
}

// LoopbackHost tells whether host, without a port, names this host only: a
// loopback address or localhost. It asks no resolver.
func LoopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// loopbackHostHeader is LoopbackHost for a Host header, whose port is optional.
func loopbackHostHeader(header string) bool {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return LoopbackHost(host)
	}
	return LoopbackHost(header)
}
