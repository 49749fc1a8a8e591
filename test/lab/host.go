package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
)

// hostUser runs the host's programs in their containers: nobody, by number.
const hostUser = 65534

// hostPaths are mounted read-only where they exist, so that a program of the
// host finds its libraries, its time zones and its user's name.
var hostPaths = []string{"/usr", "/lib", "/lib64", "/bin", "/etc/passwd", "/etc/group", "/etc/ld.so.cache"}

// hostService is a container that runs a program of the host.
type hostService struct {
	spec    ServiceSpec
	command []string
	env     []string
	check   []string // Docker's form: CMD, …
	port    int      // inside; published on 127.0.0.1
	memory  string   // size of the tmpfs /data, of hostUser
}

// hostContainer makes, starts and awaits it, and answers its address on the host.
func (l *Lab) hostContainer(ctx context.Context, h hostService) (string, error) {
	tag, err := HostImage(ctx, l.Docker)
	if err != nil {
		return "", err
	}
	port, err := l.Port(ctx)
	if err != nil {
		return "", err
	}
	inside := nat.Port(strconv.Itoa(h.port) + "/tcp")
	config := &container.Config{
		Image: tag, Cmd: h.command, Env: h.env, User: fmt.Sprintf("%d:%d", hostUser, hostUser),
		ExposedPorts: nat.PortSet{inside: {}},
		Healthcheck: &container.HealthConfig{
			Test: h.check, Interval: 500 * time.Millisecond, Timeout: 5 * time.Second, Retries: 2, StartPeriod: 30 * time.Second,
		},
	}
	host := &container.HostConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(h.spec.Restart)},
		PortBindings:  nat.PortMap{inside: {{HostIP: "127.0.0.1", HostPort: strconv.Itoa(port)}}},
		Tmpfs:         map[string]string{"/data": fmt.Sprintf("uid=%d,gid=%d,mode=0700,size=%s", hostUser, hostUser, h.memory)},
		Mounts:        hostMounts(),
	}
	if err := l.create(ctx, h.spec, 1, config, host); err != nil {
		return "", fmt.Errorf("service %s: %w", h.spec.Name, err)
	}
	if err := l.WaitHealthy(ctx, h.spec.Name); err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}

func hostMounts() []mount.Mount {
	var mounts []mount.Mount
	for _, path := range hostPaths {
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		mounts = append(mounts, mount.Mount{Type: mount.TypeBind, Source: resolved, Target: path, ReadOnly: true})
	}
	return mounts
}

// program finds one of the host under the first directory that has it.
func program(name, pkg string, dirs ...string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s is not installed: `apt-get install %s`, or `make engines`", name, pkg)
}
