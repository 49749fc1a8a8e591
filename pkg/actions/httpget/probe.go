package httpget

import (
	"context"
	"time"

	"github.com/stellarescrow/remediator/pkg/actions"
	"github.com/stellarescrow/remediator/pkg/strictyaml"
)

// probeTimeout bounds one probe.
const probeTimeout = 5 * time.Second

// Probes ask each configured entry at its own URL, as http.get without a path
// would: for evidence.
func Probes(entries []Entry, services Services) map[string]func(context.Context) actions.Result {
	out := map[string]func(context.Context) actions.Result{}
	for i := range entries {
		e := entries[i]
		g := &get{
			config: config{HTTP: e.Name, Service: e.Service, Timeout: strictyaml.Duration(probeTimeout)},
			entry:  &e, services: services, local: localAddresses, redactor: actions.NewRedactor([]string{e.Bearer}),
		}
		out[e.Name] = func(ctx context.Context) actions.Result { return g.Check(ctx, actions.Scope{}) }
	}
	return out
}
