package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stellarescrow/remediator/test/lab"
)

// TestScripts plays testdata/script/*.txtar: the real program, a real Docker
// Engine and a real Alertmanager. The commands beside testscript's own are in
// commandsByName.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		WorkdirRoot:         t.TempDir(), // removed when all scripts have ended
		UpdateScripts:       os.Getenv("UPDATE_GOLDEN") != "",
		Setup:               func(env *testscript.Env) error { return stage(env) },
		Cmds:                scriptCommands(),
	})
}

type sceneKey struct{}

// stage makes the script's scene. A script whose text asks for it gets a lab as
// Compose v1 would have made it.
func stage(env *testscript.Env) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := os.Stat(filepath.Join(env.WorkDir, "compose-v1"))
	s, err := newScene(ctx, env.WorkDir, nil, lab.Options{ComposeV1: err == nil})
	if err != nil {
		return err
	}
	env.Setenv("TMPDIR", os.TempDir())
	s.env = env.Vars
	env.Values[sceneKey{}] = s
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.close(ctx); err != nil {
			env.T().Log(err)
			env.T().FailNow()
		}
	})
	files, err := filepath.Glob(filepath.Join(env.WorkDir, "*.yaml"))
	for _, f := range files {
		err = errors.Join(err, s.fill(f))
	}
	return err
}

// scriptCommand is one command of the scripts; an error is its failure, which a
// script may want.
type scriptCommand func(ctx context.Context, s *scene, ts *testscript.TestScript, args []string) error

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){}
	for name, run := range commandsByName {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			s := ts.Value(sceneKey{}).(*scene)
			began := time.Now()
			err := run(ctx, s, ts, args)
			if d := time.Since(began); d > time.Second {
				ts.Logf("(%.1fs)", d.Seconds())
			}
			switch {
			case err != nil && neg:
				fmt.Fprintln(ts.Stderr(), err)
			case err != nil:
				ts.Fatalf("%v", err)
			case neg:
				ts.Fatalf("it succeeded")
			}
		}
	}
	return out
}

// options takes key=value arguments and words apart.
func options(args []string) (words []string, values map[string]string) {
	values = map[string]string{}
	for _, a := range args {
		if key, value, ok := strings.Cut(a, "="); ok && !strings.HasPrefix(a, "-") {
			values[key] = value
		} else {
			words = append(words, a)
		}
	}
	return words, values
}

// unknown refuses what a command does not know, so that no mistake is silent.
func unknown(values map[string]string, known ...string) error {
	for key := range maps.Keys(values) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("unknown %s=; known: %v", key, known)
		}
	}
	return nil
}

func count(values map[string]string, key string, missing int) (int, error) {
	text, ok := values[key]
	if !ok {
		return missing, nil
	}
	return strconv.Atoi(text)
}
