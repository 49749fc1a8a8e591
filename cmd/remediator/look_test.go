package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// container SERVICE: sets CONTAINER to the id of its first container.
func containerCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	ids, err := s.lab.ContainerIDs(ctx, args[0])
	if err != nil {
		return err
	}
	ts.Setenv("CONTAINER", ids[0])
	return nil
}

// accept NAME…: the daemon and `plan` take these recorded payloads.
func acceptCommand(ctx context.Context, s *scene, _ *testscript.TestScript, names []string) error {
	for _, name := range names {
		body := recordedPayload(name)
		if status, text, err := s.post(ctx, body); err != nil || status != 200 {
			return fmt.Errorf("%s: answered %d: %s (%w)", name, status, text, err)
		}
		if err := s.write("payload.json", string(body)); err != nil {
			return err
		}
		if _, err := s.program(ctx, "plan", "payload.json"); err != nil {
			return err
		}
	}
	return nil
}

// json PATH VALUE…: the last standard output is JSON and has these values there. A
// number in the path is an index, [] stands for each element.
func jsonCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	found, err := dig(ts, args[0])
	if err != nil {
		return err
	}
	var got []string
	for _, v := range found {
		if v == nil {
			v = ""
		}
		got = append(got, fmt.Sprint(v))
	}
	if !slices.Equal(got, args[1:]) {
		return fmt.Errorf("%s is %q", args[0], got)
	}
	return nil
}

// keys PATH KEY…: the object there has exactly these keys.
func keysCommand(_ context.Context, _ *scene, ts *testscript.TestScript, args []string) error {
	found, err := dig(ts, args[0])
	if err != nil {
		return err
	}
	object, _ := found[0].(map[string]any)
	if got := slices.Sorted(maps.Keys(object)); !slices.Equal(got, args[1:]) {
		return fmt.Errorf("%s has %q", args[0], got)
	}
	return nil
}

func dig(ts *testscript.TestScript, path string) ([]any, error) {
	var all any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &all); err != nil {
		return nil, err
	}
	at := []any{all}
	for part := range strings.SplitSeq(path, ".") {
		var next []any
		for _, v := range at {
			switch v := v.(type) {
			case map[string]any:
				next = append(next, v[part])
			case []any:
				if part == "[]" {
					next = append(next, v...)
					continue
				}
				i, err := strconv.Atoi(part)
				if err != nil || i >= len(v) {
					return nil, fmt.Errorf("no element %s in %v", part, v)
				}
				next = append(next, v[i])
			default:
				next = append(next, nil)
			}
		}
		at = next
	}
	return at, nil
}

// spacing TYPE DURATION: between records of a type at least that much time passed.
func spacingCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	least, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	all, err := s.records(ctx, "--type="+args[0])
	if err != nil || len(all) < 2 {
		return errors.Join(err, fmt.Errorf("%d records", len(all)))
	}
	var before time.Time
	for _, r := range all {
		at, err := time.Parse(time.RFC3339Nano, r.get("time"))
		if err != nil || !before.IsZero() && at.Sub(before) < least {
			return errors.Join(err, fmt.Errorf("%s only %s after the one before", args[0], at.Sub(before)))
		}
		before = at
	}
	return nil
}

// exits CODE ARG…: remediator ends with that code.
func exitsCommand(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error {
	cmd := exec.CommandContext(ctx, "remediator", args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, ts.Stdout(), ts.Stderr()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); fmt.Sprint(got) != args[0] {
		return fmt.Errorf("it ended with %d", got)
	}
	return nil
}

// one-by-one SERVICE: no container of the service went down while another one of
// it was down.
func oneByOneCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	events, err := s.lab.Events(ctx, args[0])
	if err != nil {
		return err
	}
	down := map[string]bool{}
	for _, e := range events {
		switch e.Action {
		case "die":
			down[e.Container] = true
		case "start":
			delete(down, e.Container)
		}
		if len(down) > 1 {
			return fmt.Errorf("%d containers were down at once", len(down))
		}
	}
	return nil
}

// distinct TYPE PATH N: records of the type have N different values at the path.
func distinctCommand(ctx context.Context, s *scene, _ *testscript.TestScript, args []string) error {
	all, err := s.records(ctx, "--type="+args[0])
	values := map[string]int{}
	for _, r := range all {
		values[r.get(args[1])]++
	}
	if err == nil && fmt.Sprint(len(values)) != args[2] {
		err = fmt.Errorf("%d: %v", len(values), values)
	}
	return err
}
