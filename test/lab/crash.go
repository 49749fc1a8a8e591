package lab

import (
	"context"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/container"
)

// CrashPostgres kills PostgreSQL's postmaster from inside its containers, as a
// fault of its own would: the engine sees a container die by itself, with exit
// code 137, and no kill. It returns once the container has ended.
func (l *Lab) CrashPostgres(ctx context.Context, service string) error {
	err := l.each(ctx, service, func(id string) error {
		return l.execInside(ctx, id, "/bin/sh", "-c", `kill -9 "$(head -n 1 /data/db/postmaster.pid)"`)
	})
	if err != nil {
		return err
	}
	return l.WaitExited(ctx, service)
}

// execInside runs a program in a container and waits until it has ended. That the
// container ends with it is no error.
func (l *Lab) execInside(ctx context.Context, id string, command ...string) error {
	created, err := l.Docker.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return err
	}
	stream, err := l.Docker.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	out, err := io.ReadAll(stream.Reader)
	if err != nil {
		return err
	}
	if done, err := l.Docker.ContainerExecInspect(ctx, created.ID); err == nil && done.ExitCode != 0 && len(out) > 0 {
		return fmt.Errorf("%v in container %.12s: exit code %d: %s", command, id, done.ExitCode, out)
	}
	return nil
}
