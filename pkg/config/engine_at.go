package config

import (
	"net/url"
	"path"
	"path/filepath"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
)

// engineAt spells every name of an engine in one way, to compare them: a socket by
// its clean path with the links in it followed where they exist, a TCP address of
// this host by its port. What is no address of an engine stays as it is.
func engineAt(host string) string {
	u, err := url.Parse(host)
	switch {
	case err != nil:
		return host
	case u.Scheme == "unix":
		socket := path.Clean(u.Path)
		if followed, err := filepath.EvalSymlinks(socket); err == nil {
			return "unix://" + followed
		}
		// The engine may be down; its directory is there.
		if dir, err := filepath.EvalSymlinks(path.Dir(socket)); err == nil {
			socket = path.Join(dir, path.Base(socket))
		}
		return "unix://" + socket
	case u.Scheme == "tcp" && access.LoopbackHost(u.Hostname()):
		return "tcp://localhost:" + u.Port() + path.Clean("/"+u.Path)
	default:
		return host
	}
}
