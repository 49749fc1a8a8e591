package docker

import (
	"context"
	"os"
	"regexp"
	"slices"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// containerID as it stands in /proc/self/mountinfo (the files that Docker mounts
// into every container come from /var/lib/docker/containers/ID/) and, with cgroup
// v1, in /proc/self/cgroup.
var containerID = regexp.MustCompile(`(?:/containers/|/docker[/-])([0-9a-f]{64})\b`)

// selfID finds the id of the container that this process runs in.
func selfID(files ...string) string {
	for _, text := range files {
		if m := containerID.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}

// SelfTarget is the declared service whose container remediator itself runs in, if
// it is one. Outside of a container nothing is asked.
func (e *Engines) SelfTarget(ctx context.Context) (target string, ok bool, err error) {
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	id := selfID(string(mounts), string(cgroup))
	if id == "" {
		return "", false, nil
	}
	for _, en := range e.list {
		c, err := en.reader.Inspect(ctx, id)
		if actions.CodeOf(err) == actions.CodeTargetNotFound && err != nil {
			continue
		}
		if err != nil {
			return "", false, err
		}
		if s := c.Labels[labelService]; c.Labels[labelProject] == en.Project && slices.Contains(en.Services, s) {
			return en.target(s), true, nil
		}
	}
	return "", false, nil
}
