package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// tmpfs DIR MIB: a small disk of its own, until the script ends. It needs root.
func tmpfsCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]+"m"); err != nil {
		return fmt.Errorf("mount a tmpfs at %s (the end-to-end tests run as root): %w", dir, err)
	}
	ts.Defer(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return nil
}

// tmpfs-fill DIR: until nothing fits any more.
func tmpfsFillCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	f, err := os.Create(ts.MkAbs(args[0] + "/filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 4096); ; { // by pages, up to the last one
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// tmpfs-free DIR: removes what filled it.
func tmpfsFreeCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	return os.Remove(ts.MkAbs(args[0] + "/filler"))
}

// post-until STATUS: posts new alerts until even a small notification is answered
// so, three times in a row.
func postUntilCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	size, row := 200, 0
	for n := range 2000 {
		var alerts []webhookAlert
		for i := range size {
			labels := map[string]string{"n": fmt.Sprintf("%d-%d", n, i), "padding": strings.Repeat("x", 2*size)}
			alerts = append(alerts, webhookAlert{job: "padding", labels: labels, startsAt: time.Now()})
		}
		status, text, err := s.post(ctx, notification(alerts...))
		if err != nil {
			return err
		}
		if fmt.Sprint(status) != args[0] {
			row = 0
			continue
		}
		if row++; size == 1 && row == 3 {
			ts.Logf("after %d notifications", n)
			fmt.Fprintln(ts.Stdout(), text)
			return nil
		}
		size = 1
	}
	return fmt.Errorf("%s was not answered", args[0])
}
