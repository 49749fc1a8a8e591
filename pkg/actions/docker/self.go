package docker

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// mountRoot is where Docker keeps the files that it mounts into a container.
var mountRoot = regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)$`)

// cgroupPath names a container in cgroup v1 (/docker/ID) and under systemd
// (docker-ID.scope). The innermost counts.
var cgroupPath = regexp.MustCompile(`(?:/docker/|docker-)([0-9a-f]{64})\b`)

// selfID finds the id of the container that this process runs in, in the texts of
// /proc/self/mountinfo and /proc/self/cgroup; "" outside of one.
//
// Only files that Docker mounts over /etc/hostname, /etc/hosts and
// /etc/resolv.conf count: on the host itself mountinfo shows the mounts of all its
// containers, none of which this process is in.
func selfID(mountinfo, cgroup string) string {
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line) // id parent major:minor root mountpoint …
		if len(f) < 5 || !slices.Contains([]string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}, f[4]) {
			continue
		}
		if m := mountRoot.FindStringSubmatch(f[3]); m != nil {
			return m[1]
		}
	}
	for line := range strings.Lines(cgroup) {
		if all := cgroupPath.FindAllStringSubmatch(strings.TrimSpace(line), -1); all != nil {
			return all[len(all)-1][1]
		}
	}
	return ""
}

// SelfTarget is the declared service whose container remediator itself runs in, if
// it is one. Outside of a container nothing is asked. An error means that it could
// not be found out.
func (e *Engines) SelfTarget(ctx context.Context) (target string, ok bool, err error) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // not on Linux: no container either
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	return e.targetOf(ctx, selfID(string(mounts), string(cgroup)))
}

// targetOf is the declared service that a container belongs to.
func (e *Engines) targetOf(ctx context.Context, id string) (target string, ok bool, err error) {
	if id == "" {
		return "", false, nil
	}
	for _, en := range e.list {
		c, err := en.reader.Inspect(ctx, id)
		if err != nil {
			if actions.CodeOf(err) == actions.CodeTargetNotFound {
				continue
			}
			return "", false, err
		}
		if s := c.Labels[labelService]; c.Labels[labelProject] == en.Project && slices.Contains(en.Services, s) {
			return en.target(s), true, nil
		}
	}
	return "", false, nil
}
