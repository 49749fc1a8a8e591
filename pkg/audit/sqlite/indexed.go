package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// ScanIndexed is what Verify reads: every record with its columns, in chain order,
// in one transaction.
func (s *Store) ScanIndexed(ctx context.Context, replica string, after uint64, fn func(audit.Stored, audit.Columns) error) error {
	_, db := s.handles()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	const which = " where (replica = ?1 or ?1 = '') and seq > ?2 order by replica, seq"
	targets, err := tx.QueryContext(ctx, "select replica, seq, time_ns, target from record_targets"+which+", target", replica, after)
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	defer targets.Close()
	rows, err := tx.QueryContext(ctx, `select replica, seq, time_ns, type, incident, remediation, policy, episode, target, fingerprint, alertname, json
from records`+which, replica, after)
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	defer rows.Close()
	filed := &targetRows{rows: targets}
	filed.next()
	for rows.Next() {
		var c audit.Columns
		var line []byte
		if err := rows.Scan(&c.Replica, &c.Seq, &c.TimeNS, &c.Type, &c.Incident, &c.Remediation, &c.Policy, &c.Episode, &c.Target,
			&c.Fingerprint, &c.Alertname, &line); err != nil {
			return unavailable(s.opts.Path, err)
		}
		c.Targets = filed.of(c)
		if err := fn(audit.Stored{JSON: line}, c); err != nil {
			return err
		}
	}
	if err := errors.Join(rows.Err(), filed.err, targets.Err()); err != nil {
		return unavailable(s.opts.Path, err)
	}
	return nil
}

// targetRows reads the targets beside the records, both in the same order.
type targetRows struct {
	rows    *sql.Rows
	more    bool
	err     error
	replica string
	seq     uint64
	timeNS  int64
	target  string
}

func (t *targetRows) next() {
	if t.more = t.rows.Next(); t.more {
		t.err = t.rows.Scan(&t.replica, &t.seq, &t.timeNS, &t.target)
		t.more = t.err == nil
	}
}

// of gives a record's targets. Those with a time that is not the record's are not
// found by filters, and do not count.
func (t *targetRows) of(c audit.Columns) []string {
	var out []string
	for t.more {
		order := cmp.Or(cmp.Compare(t.replica, c.Replica), cmp.Compare(t.seq, c.Seq))
		if order > 0 {
			break
		}
		if order == 0 && t.timeNS == c.TimeNS {
			out = append(out, t.target)
		}
		t.next()
	}
	return out
}
