package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/engine"
	"github.com/stellarescrow/remediator/pkg/handlers"
	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/metrics"
)

// loaded is the configuration in force, as status shows it.
type loaded struct {
	at    time.Time
	error string // of the last attempt
}

// reader answers handlers.Reader, handlers.Health and handlers.Journal.
type reader struct {
	log     *audit.Log
	ledger  *ledger.Ledger
	engine  *engine.Engine
	started time.Time
	loaded  atomic.Pointer[loaded]
	ready   atomic.Pointer[string] // why not, nil: ready
	// upstreams are those that are watched now; nil: there are none.
	upstreams func() []handlers.Upstream
}

// Ready is nil once the daemon takes notifications.
func (r *reader) Ready(context.Context) error {
	if why := r.ready.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// Status is what the daemon is doing.
func (r *reader) Status(ctx context.Context) (*handlers.Status, error) {
	snap, now := r.engine.Snapshot(), time.Now()
	conf := r.loaded.Load()
	s := &handlers.Status{
		Version: Version(), Replica: r.log.Replica(), Mode: string(snap.Mode), Started: r.started, Ready: true,
		Config: handlers.ConfigStatus{Hash: snap.Hash, Loaded: conf.at, LastError: conf.error},
		Audit:  r.log.Head(), Pauses: []handlers.Pause{}, OpenEpisodes: r.ledger.OpenEpisodes(),
		Remediations: map[string]int{},
	}
	if err := r.Ready(ctx); err != nil {
		s.Ready, s.NotReady = false, err.Error()
	}
	for _, p := range r.ledger.Pauses(now) {
		out := handlers.Pause{PauseRequest: handlers.PauseRequest{Scope: scopeOf(p.Scope), Reason: p.Reason}, Actor: p.Actor, Since: p.Since}
		if !p.Until.IsZero() {
			out.Until = &p.Until
		}
		s.Pauses = append(s.Pauses, out)
	}
	s.Active = r.active()
	for _, a := range s.Active {
		s.Remediations[a.State]++
	}
	for _, q := range r.ledger.Quarantines() {
		s.Quarantined = append(s.Quarantined, handlers.Quarantine{Target: q.Target, Since: q.Since, Remediation: q.Remediation, Policy: q.Policy, Text: q.Text})
	}
	s.Upstreams, s.Docker = r.upstreamLines(snap, now), unseen(snap)
	var err error
	if s.Firing, s.FiringMore, err = r.firing(ctx); err != nil {
		return nil, err
	}
	s.AwaitingApproval, err = r.awaiting(ctx)
	return s, err
}

// Remediations pages through what the ledger remembers, newest first.
func (r *reader) Remediations(_ context.Context, q handlers.RemediationQuery) (*handlers.Page[handlers.Remediation], error) {
	states := r.states()
	list := r.ledger.Remediations(func(rem *ledger.Remediation) bool {
		return (q.Policy == "" || rem.Policy == q.Policy) && (q.Target == "" || slices.Contains(rem.Targets, q.Target)) &&
			(q.Since.IsZero() || !rem.OpenedAt.Before(q.Since)) && (q.Until.IsZero() || rem.OpenedAt.Before(q.Until))
	})
	slices.Reverse(list)
	page := &handlers.Page[handlers.Remediation]{Items: []handlers.Remediation{}}
	skipping := q.After != ""
	for _, rem := range list {
		if skipping {
			skipping = rem.ID != q.After
			continue
		}
		out := present(rem, states)
		if q.State != "" && out.State != q.State || q.Alert != "" && !r.concerns(rem, q.Alert) {
			continue
		}
		if len(page.Items) == q.Limit {
			page.Next = page.Items[len(page.Items)-1].ID
			break
		}
		page.Items = append(page.Items, out)
	}
	return page, nil
}

// states of what is under way: the engine knows queued from running.
func (r *reader) states() map[string]string {
	out := map[string]string{}
	for _, a := range r.engine.View().Active {
		out[a.ID] = a.State
	}
	return out
}

// concerns says whether a remediation is about an alert: its name, fingerprint or
// episode.
func (r *reader) concerns(rem ledger.Remediation, name string) bool {
	return slices.ContainsFunc(rem.Episodes, func(id string) bool {
		ep, _ := r.ledger.Episode(id)
		return id == name || ep.Fingerprint == name || ep.Alert.Labels["alertname"] == name
	})
}

func present(rem ledger.Remediation, states map[string]string) handlers.Remediation {
	out := handlers.Remediation{
		ID: rem.ID, State: string(rem.State), Mode: rem.Mode, Policy: rem.Policy, Runbook: rem.Runbook, Severity: rem.Severity,
		Targets: rem.Targets, Episodes: rem.Episodes, Verdict: "execute", Reason: rem.Reason, Outcome: rem.Outcome,
		Effect: rem.Effect, Opened: rem.OpenedAt,
	}
	if s := states[rem.ID]; s != "" {
		out.State = s
	}
	if a := rem.Approval; a != nil && a.Step == nil && a.Decided != ledger.Granted {
		out.Verdict = "await_approval" // nothing was executed, unless a person consents
	}
	for _, in := range rem.Intents {
		if in.Error != "" {
			out.Error = in.Error
		}
	}
	if !rem.ClosedAt.IsZero() {
		out.Closed = &rem.ClosedAt
	}
	return out
}

// Remediation is one of them with its plan and its records.
func (r *reader) Remediation(ctx context.Context, id string) (*handlers.RemediationDetail, error) {
	rem, ok := r.ledger.Remediation(id)
	if !ok {
		return nil, fmt.Errorf("remediation %q: %w", id, handlers.ErrNotFound)
	}
	out := &handlers.RemediationDetail{Remediation: present(rem, r.states()), Records: []json.RawMessage{}}
	if rem.Approval != nil {
		shown := approval(rem.Approval)
		out.Approval = &shown
	}
	whole := false // what a person was asked about is more than one step's plan
	err := r.log.Scan(ctx, audit.Filter{Remediation: id}, func(s audit.Stored) error {
		out.Records = append(out.Records, s.JSON)
		asked := s.Record.Type == audit.ApprovalRequested
		if asked || s.Record.Type == audit.StepPlanned && !whole {
			out.Plan, out.PlanHash = s.Record.Plan, s.Record.PlanHash
		}
		whole = whole || asked
		return nil
	})
	return out, err
}

// Scan reads the audit log.
func (r *reader) Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	return r.log.Scan(ctx, f, fn)
}

// Follow reads the audit log and waits for more.
func (r *reader) Follow(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	return audit.Follow(ctx, r.log, f, fn)
}

// intake passes notifications to the engine.
type intake struct {
	reader *reader
	engine *engine.Engine
}

// Accept makes a notification durable.
func (i intake) Accept(ctx context.Context, n *alert.Notification, raw json.RawMessage, remote string) error {
	if err := i.reader.Ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	return i.engine.Accept(ctx, n, raw, "system", remote)
}

// state is what metrics show.
func (r *reader) state() metrics.State {
	view := r.engine.View()
	s := metrics.State{
		Remediations: map[string]int{}, Waiting: len(view.Waiting), Quarantined: len(r.ledger.Quarantines()),
		Pauses: len(r.ledger.Pauses(time.Now())), Upstreams: map[string]metrics.UpstreamState{},
	}
	for _, a := range view.Active {
		s.Remediations[a.State]++
	}
	for _, u := range r.watched() {
		s.Upstreams[u.Name] = metrics.UpstreamState{State: u.State, LastGood: u.LastGood}
	}
	return s
}
