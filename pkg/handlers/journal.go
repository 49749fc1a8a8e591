package handlers

import (
	"context"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// Log is what NewJournal needs of audit.Log.
type Log interface {
	Head() audit.Head
	Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error
	Watch() (signal <-chan struct{}, cancel func())
}

// NewJournal makes a log that can be followed. It follows the log's own chain:
// records of other replicas of a shared store are read by Scan only.
func NewJournal(l Log) Journal { return journal{l} }

type journal struct{ Log }

// Follow sends what matches now, and then what is appended, in order. Limit and
// Reverse concern the first part only.
func (j journal) Follow(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	signal, cancel := j.Watch()
	defer cancel()
	for {
		// Read before the scan: what is appended meanwhile may come with the scan,
		// then its own number says so, or with the next one, but never twice.
		last := j.Head().Seq
		err := j.Scan(ctx, f, func(s audit.Stored) error {
			last = max(last, s.Record.Seq)
			return fn(s)
		})
		if err != nil {
			return err
		}
		f.AfterSeq, f.Limit, f.Reverse = max(f.AfterSeq, last), 0, false
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
