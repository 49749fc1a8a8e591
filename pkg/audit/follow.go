package audit

import "context"

// Follow calls fn for each matching record and then for each new one, until ctx
// ends or fn fails. Only this log's own replica is followed past the present; a
// limit bounds the first part only.
func Follow(ctx context.Context, l *Log, f Filter, fn func(Stored) error) error {
	signal, cancel := l.Watch()
	defer cancel()
	f.Reverse = false
	if f.Replica != "" && f.Replica != l.Replica() {
		if err := l.Scan(ctx, f, fn); err != nil {
			return err
		}
		<-ctx.Done() // its records come to another log
		return ctx.Err()
	}
	for {
		// Up to the head before the scan: what is committed meanwhile is signalled.
		seen := max(f.AfterSeq, l.Head().Seq)
		err := l.Scan(ctx, f, func(s Stored) error {
			if s.Record.Replica == l.Replica() {
				seen = max(seen, s.Record.Seq)
			}
			return fn(s)
		})
		if err != nil {
			return err
		}
		f.AfterSeq, f.Replica, f.Limit = seen, l.Replica(), 0
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-signal:
		}
	}
}
