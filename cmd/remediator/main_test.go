package main

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// crashEnv makes the program kill itself, as by `kill -9`, at a stage boundary:
// NAME, or NAME:N for its n-th passing. Only the test binary knows of it.
const crashEnv = "REMEDIATOR_TEST_CRASH_AT"

func TestMain(m *testing.M) {
	// End-to-end tests wait for engines far more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"remediator": func() {
			boundary = crashAt(os.Getenv(crashEnv))
			main()
		},
	})
}

// crashAt answers nil when there is nothing to crash at.
func crashAt(where string) func(string) {
	if where == "" {
		return nil
	}
	name, count, _ := strings.Cut(where, ":")
	nth, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		nth = 1
	}
	var passed atomic.Int64
	return func(at string) {
		if at == name && passed.Add(1) == nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing more happens here
		}
	}
}
