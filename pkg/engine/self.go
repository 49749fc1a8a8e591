package engine

import (
	"context"
	"maps"
	"sync"
)

// Self knows which targets are remediator itself. Where that could not be learnt at
// the start (Docker was away), it is asked again before every effect, and no effect
// happens until it is known.
type Self struct {
	// Ask finds the target of remediator's own container, if it is a declared one.
	Ask func(ctx context.Context) (target string, ok bool, err error)

	mu      sync.Mutex // guards the rest
	known   bool
	targets map[string]bool
}

// Learn asks unless it is known.
func (s *Self) Learn(ctx context.Context) error {
	if s == nil || s.Ask == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return nil
	}
	target, ok, err := s.Ask(ctx)
	if err != nil {
		return err
	}
	s.known, s.targets = true, map[string]bool{}
	if ok {
		s.targets[target] = true
	}
	return nil
}

// Targets that are known to be remediator itself.
func (s *Self) Targets() map[string]bool {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.targets)
}
