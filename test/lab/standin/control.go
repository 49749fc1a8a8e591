package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const errReadOnly = syscall.EROFS

// handler serves what users see, which hangs and breaks, and what the lab uses,
// which always answers.
func (s *service) handler() http.Handler {
	front := http.NewServeMux()
	front.HandleFunc("GET /health", s.health)
	front.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "standin") })

	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.wait(r) {
			front.ServeHTTP(w, r)
		}
	})
	mux.HandleFunc("POST /control/mode", s.controlMode)
	mux.HandleFunc("POST /control/exit", controlExit)
	mux.HandleFunc("POST /control/spin", controlSpin)
	mux.HandleFunc("POST /control/leak", s.controlLeak)
	mux.HandleFunc("POST /control/log", controlLog)
	mux.HandleFunc("GET /control/state", s.controlState)
	return mux
}

// controlMode: mode=ok|hang|error, restarts=N further starts that stay so.
func (s *service) controlMode(w http.ResponseWriter, r *http.Request) {
	mode := r.FormValue("mode")
	if mode != modeOK && mode != modeHang && mode != modeError {
		http.Error(w, fmt.Sprintf("unknown mode %q", mode), http.StatusBadRequest)
		return
	}
	restarts, ok := number(w, r, "restarts", 0)
	if !ok {
		return
	}
	if err := s.setMode(mode, restarts); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// controlExit: code=N. It exits once the answer is out.
func controlExit(w http.ResponseWriter, r *http.Request) {
	code, ok := number(w, r, "code", 1)
	if !ok {
		return
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusAccepted)
	if err := http.NewResponseController(w).Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "standin: flush:", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { os.Exit(code) })
}

// controlSpin: for=DURATION on every CPU.
func controlSpin(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.FormValue("for"))
	if err != nil {
		http.Error(w, "for: "+err.Error(), http.StatusBadRequest)
		return
	}
	end := time.Now().Add(d)
	for range runtime.NumCPU() {
		go func() {
			for time.Now().Before(end) { // burning the CPU is the purpose
			}
		}()
	}
}

// controlLeak: mib=N, kept for ever.
func (s *service) controlLeak(_ http.ResponseWriter, r *http.Request) {
	mib, err := strconv.Atoi(r.FormValue("mib"))
	if err != nil {
		mib = 1
	}
	for range mib {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1 // touched, so that it is resident
		}
		s.mu.Lock()
		s.leaked = append(s.leaked, block)
		s.mu.Unlock()
	}
}

// controlLog: line=TEXT, count=N, stderr=1.
func controlLog(w http.ResponseWriter, r *http.Request) {
	count, ok := number(w, r, "count", 1)
	if !ok {
		return
	}
	var out io.Writer = os.Stdout
	if r.FormValue("stderr") == "1" {
		out = os.Stderr
	}
	for range count {
		fmt.Fprintln(out, r.FormValue("line"))
	}
}

func (s *service) controlState(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(st); err != nil {
		fmt.Fprintln(os.Stderr, "standin: state:", err)
	}
}

func number(w http.ResponseWriter, r *http.Request, name string, missing int) (int, bool) {
	text := r.FormValue(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		http.Error(w, name+": "+err.Error(), http.StatusBadRequest)
		return 0, false
	}
	return n, true
}
