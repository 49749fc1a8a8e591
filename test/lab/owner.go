package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// owner names the process that a lab belongs to beyond doubt: process ids are
// used again, so its start time, the boot and the pid namespace belong to it.
type owner struct {
	boot, namespace string
	pid             int
	started         string // clock ticks since the boot
}

func self() (owner, error) {
	o, err := where()
	if err != nil {
		return owner{}, err
	}
	o.pid = os.Getpid()
	o.started, err = startTime(o.pid)
	return o, err
}

// where fills in the boot and the namespace of this process.
func where() (owner, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return owner{}, err
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return owner{}, err
	}
	return owner{boot: strings.TrimSpace(string(boot)), namespace: namespace}, nil
}

// startTime is field 22 of /proc/PID/stat; the second one, the program's name,
// may hold spaces and parentheses.
func startTime(pid int) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", err
	}
	_, rest, ok := cutLast(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("unexpected /proc/%d/stat", pid)
	}
	return fields[19], nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// String is the form in labels and file names of other labs.
func (o owner) String() string {
	return fmt.Sprintf("%s/%s/%d/%s", o.boot, o.namespace, o.pid, o.started)
}

func parseOwner(text string) (owner, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return owner{}, fmt.Errorf("not an owner: %q", text)
	}
	pid, err := strconv.Atoi(parts[2])
	if err != nil {
		return owner{}, fmt.Errorf("not an owner: %q: %w", text, err)
	}
	return owner{boot: parts[0], namespace: parts[1], pid: pid, started: parts[3]}, nil
}

// dead is true only where that is certain: a process of another namespace on
// the same boot cannot be seen from here and counts as alive.
func (o owner) dead(here owner) bool {
	if o.boot != here.boot {
		return true
	}
	if o.namespace != here.namespace {
		return false
	}
	started, err := startTime(o.pid)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && started != o.started
}
