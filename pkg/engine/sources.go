package engine

import (
	"context"
	"time"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/services"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// WorldSource knows how services are. It tells Engine.WorldChanged of changes.
type WorldSource interface {
	// World is what was last seen; it never blocks.
	World() services.World
	// Refresh looks anew and gives what it saw. What cannot be looked at is Unknown
	// in it; the error says why.
	Refresh(ctx context.Context) (services.World, error)
}

// UpstreamSource watches third parties. It tells Engine.UpstreamChanged of changes.
type UpstreamSource interface {
	// Upstreams by name, with when each last gave a good answer; it never blocks.
	Upstreams() map[string]policy.Upstream
	// Refresh asks the pages of the named upstreams whose last good answer is older
	// than maxAge, and returns once what they answered has been told to the engine,
	// or ctx ends. A page that does not answer is no error: its state stands.
	Refresh(ctx context.Context, maxAge time.Duration, names ...string)
}

// UpstreamChanged records the transition of an upstream, lets it speak as an alert
// (alertname="UpstreamIncident"), and decides again what waited for it. It returns
// once the transition is durable.
func (e *Engine) UpstreamChanged(ctx context.Context, c upstream.Change) error { return nil }

// WorldChanged says that the states of services have changed. It never blocks.
func (e *Engine) WorldChanged() {}
