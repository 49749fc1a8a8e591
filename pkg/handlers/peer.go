package handlers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

type peerKey struct{}

// peer is the process at the other end of the control socket, as the kernel
// knows it.
type peer struct {
	uid uint32
	err error
}

// withPeer notes the peer of a connection for its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

func peerOf(c net.Conn) peer {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{err: fmt.Errorf("%T is no unix socket", c)}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var cred *syscall.Ucred
	var got error
	err = raw.Control(func(fd uintptr) {
		cred, got = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = got
	}
	if err != nil {
		return peer{err: err}
	}
	return peer{uid: cred.Uid}
}

// peerGate is the access of the control socket: root, and the user that the
// daemon runs as, may do everything. The socket's mode says the same; this
// holds should somebody change it.
type peerGate struct{}

func (peerGate) Authorize(r *http.Request, _ access.Need) (access.Identity, error) {
	p, ok := r.Context().Value(peerKey{}).(peer)
	if !ok || p.err != nil {
		return access.Identity{}, problem.New(http.StatusForbidden, "peer_unknown", "the kernel does not say who is asking").Because(p.err)
	}
	if p.uid != 0 && int(p.uid) != os.Geteuid() {
		return access.Identity{}, problem.New(http.StatusForbidden, "peer_not_allowed", "user %s may not use the control socket: it belongs to the daemon's own user", userName(p.uid))
	}
	return access.Identity{Name: userName(p.uid), Role: access.Operator, Via: "socket"}, nil
}

func (peerGate) RequireContentType() bool { return false }

// userName is the login name of uid, or its number, as in a container without
// a passwd file.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return u.Username
}
