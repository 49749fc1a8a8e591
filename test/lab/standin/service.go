package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const stateFile = "/state.json"

// Modes of the service.
const (
	modeOK    = "ok"
	modeHang  = "hang"  // everything but /control is never answered
	modeError = "error" // /health answers 500
)

// state is what outlives a restart.
type state struct {
	Mode string `json:"mode"`
	// Restarts is how many further starts begin in Mode; negative: all.
	Restarts int `json:"restarts"`
	Starts   int `json:"starts"`
}

type service struct {
	path  string
	needs []string
	ready time.Time // not before this is /health fine

	mu      sync.Mutex
	state   state         // guarded by mu
	changed chan struct{} // guarded by mu; closed when the mode changes
	leaked  [][]byte      // guarded by mu
}

func newService(path string) (*service, error) {
	s := &service{path: path, needs: needs(), changed: make(chan struct{})}
	after, err := durationEnv("STANDIN_HEALTHY_AFTER", 0)
	if err != nil {
		return nil, err
	}
	s.ready = time.Now().Add(after)
	if s.state, err = load(path); err != nil {
		return nil, err
	}
	s.state.Starts++
	if s.state.Restarts == 0 {
		s.state.Mode = modeOK
	}
	if s.state.Restarts > 0 {
		s.state.Restarts--
	}
	return s, s.saveLocked()
}

// load reads the state that an earlier start left, or makes the first one from
// the environment.
func load(path string) (state, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		var st state
		return st, json.Unmarshal(text, &st)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return state{}, err
	}
	broken, err := intEnv("STANDIN_BROKEN_STARTS")
	if err != nil {
		return state{}, err
	}
	mode := os.Getenv("STANDIN_MODE")
	if mode == "" {
		mode = modeOK
	}
	return state{Mode: mode, Restarts: broken}, nil
}

// saveLocked is called with mu held, or before the service is shared. A
// read-only root keeps no state: such a service recovers at each restart.
func (s *service) saveLocked() error {
	text, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path, text, 0o600); err != nil && !errors.Is(err, errReadOnly) {
		return err
	}
	return nil
}

func (s *service) setMode(mode string, restarts int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Mode, s.state.Restarts = mode, restarts
	close(s.changed)
	s.changed = make(chan struct{})
	return s.saveLocked()
}

func (s *service) mode() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Mode, s.changed
}

// wait holds a request for as long as the service hangs. It answers false when
// the client went away first.
func (s *service) wait(r *http.Request) bool {
	for {
		mode, changed := s.mode()
		if mode != modeHang {
			return true
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return false
		}
	}
}

func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	mode, _ := s.mode()
	switch {
	case mode == modeError:
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	case time.Now().Before(s.ready):
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	for _, url := range s.needs {
		if err := get(url, 500*time.Millisecond); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

func durationEnv(name string, missing time.Duration) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return missing, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func intEnv(name string) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}
