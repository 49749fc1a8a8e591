package httpget

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// dialer connects, and knows whether what it dialled belongs to the service.
type dialer struct {
	service   string
	ips       []netip.Addr     // of its running containers
	published []netip.AddrPort // for it, on this host
	local     func() ([]netip.Addr, error)
	own       atomic.Bool // what was dialled last is the service's
}

// dial connects. A host that equals its service is looked up in Docker: services are often not published, and their
// addresses change.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips := d.ips
	if d.service == "" || host != d.service {
		if ips, err = resolve(ctx, host); err != nil {
			d.own.Store(false)
			return nil, err
		}
	}
	if len(ips) == 0 {
		d.own.Store(false)
		return nil, fmt.Errorf("%s has no address", host)
	}
	// Known before the first answer: the caller may give up while it is waited for.
	d.own.Store(slices.ContainsFunc(ips, func(ip netip.Addr) bool { return d.owns(ip, port) }))
	return d.first(ctx, network, ips, port)
}

// stagger is how long one address is waited for before the next is tried as well.
const stagger = 250 * time.Millisecond

type dialled struct {
	conn net.Conn
	ip   netip.Addr
	err  error
}

// first connects to the first of some addresses that answers, preferring the
// earlier ones: of a container's networks not every one may be in reach. Where none
// answers, it is the service's failure if one of them is the service's.
func (d *dialer) first(ctx context.Context, network string, ips []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialled, len(ips))
	try := func(ip netip.Addr) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		results <- dialled{conn, ip, err}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	started := 0
	var failed []string
	var errs []error
	for len(errs) < len(ips) {
		select {
		case <-next.C:
			if started < len(ips) {
				go try(ips[started])
				started++
				next.Reset(stagger)
			}
		case r := <-results:
			if r.err == nil {
				d.own.Store(d.owns(r.ip, port))
				go discard(results, started-len(errs)-1)
				return r.conn, nil
			}
			failed, errs = append(failed, r.err.Error()), append(errs, r.err)
			next.Reset(0)
		}
	}
	return nil, &dialError{strings.Join(failed, "; "), errs}
}

// discard closes connections that came too late.
func discard(results <-chan dialled, n int) {
	for range n {
		if r := <-results; r.conn != nil {
			r.conn.Close()
		}
	}
}

// dialError says why each address failed, in one line.
type dialError struct {
	text string
	errs []error
}

func (e *dialError) Error() string   { return e.text }
func (e *dialError) Unwrap() []error { return e.errs }

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// owns says whether an address is a container's, or one published for it.
func (d *dialer) owns(ip netip.Addr, port string) bool {
	if slices.Contains(d.ips, ip) {
		return true
	}
	for _, p := range d.published {
		if strconv.Itoa(int(p.Port())) != port {
			continue
		}
		if p.Addr() == ip || p.Addr().IsUnspecified() && d.isLocal(ip) {
			return true
		}
	}
	return false
}

// isLocal says whether an address is one of this host's.
func (d *dialer) isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	all, err := d.local()
	return err == nil && slices.Contains(all, ip.WithZone(""))
}

// localAddresses are those of this host's interfaces.
func localAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, nil
}
