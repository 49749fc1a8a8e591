package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// A scan reads in pages, so that a slow reader (a person's terminal at the other
// end of a stream) holds neither a connection nor a snapshot: an old snapshot
// keeps the WAL from being used again, and it would grow.
const (
	pageRecords = 500
	pageBytes   = 4 << 20
)

// row is a record as it was read, with the place it is filed under.
type row struct {
	timeNS  int64
	replica string
	seq     uint64
	json    []byte
}

// Scan streams matching records up to the newest at the time of the call.
func (s *Store) Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	_, db := s.handles()
	var newest int64
	err := db.QueryRowContext(ctx, "select time_ns from records order by time_ns desc limit 1").Scan(&newest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	var after *row
	for left := f.Limit; ; {
		rows, err := page(ctx, db, f, newest, after, left)
		if err != nil {
			return unavailable(s.opts.Path, err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			if err := fn(r.stored()); err != nil {
				return err
			}
		}
		after = &rows[len(rows)-1]
		after.json = nil
		if left > 0 {
			if left -= len(rows); left <= 0 {
				return nil
			}
		}
	}
}

func (r row) stored() audit.Stored {
	rec := &audit.Record{}
	if json.Unmarshal(r.json, rec) != nil {
		rec = &audit.Record{} // Verify names the damage; readers get the place
	}
	rec.Replica, rec.Seq = r.replica, r.seq
	return audit.Stored{Record: rec, JSON: r.json}
}

func page(ctx context.Context, db *sql.DB, f audit.Filter, newest int64, after *row, left int) ([]row, error) {
	query, args := selection(f, newest, after, left)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for size := 0; size < pageBytes && rows.Next(); {
		var r row
		if err := rows.Scan(&r.timeNS, &r.replica, &r.seq, &r.json); err != nil {
			return nil, err
		}
		size += len(r.json)
		out = append(out, r)
	}
	return out, rows.Err()
}

// selection is the query of one page of a filter. Values are always parameters.
func selection(f audit.Filter, newest int64, after *row, left int) (string, []any) {
	where, args := []string{"time_ns <= ?"}, []any{newest}
	add := func(cond string, values ...any) {
		where = append(where, cond)
		args = append(args, values...)
	}
	if !f.Since.IsZero() {
		add("time_ns >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		add("time_ns < ?", f.Until.UnixNano())
	}
	if f.AfterSeq > 0 {
		add("seq > ?", f.AfterSeq)
	}
	if f.Replica != "" {
		add("replica = ?", f.Replica)
	}
	// The second condition is what tells SQLite that the partial index will do.
	for _, c := range []struct{ column, value string }{
		{"incident", f.Incident}, {"remediation", f.Remediation}, {"policy", f.Policy},
	} {
		if c.value != "" {
			add(fmt.Sprintf("(%[1]s = ? and %[1]s <> '')", c.column), c.value)
		}
	}
	if f.Alert != "" {
		add("((fingerprint = ? and fingerprint <> '') or (alertname = ? and alertname <> '') or (episode = ? and episode <> ''))",
			f.Alert, f.Alert, f.Alert)
	}
	if f.Target != "" {
		add("(time_ns, replica, seq) in (select time_ns, replica, seq from record_targets where target = ?)", f.Target)
	}
	if len(f.Types) > 0 {
		marks := make([]any, len(f.Types))
		for i, t := range f.Types {
			marks[i] = string(t)
		}
		add("type in (?"+strings.Repeat(",?", len(marks)-1)+")", marks...)
	}
	order, args := ordered(f, after, &where, args)
	limit := pageRecords
	if left > 0 {
		limit = min(limit, left)
	}
	return fmt.Sprintf("select time_ns, replica, seq, json from records where %s order by %s limit %d",
		strings.Join(where, " and "), order, limit), args
}

// ordered is the order of a filter, and the condition that goes on after a row.
// Within one replica the order of time is that of seq; who follows one chain is
// served from its key.
func ordered(f audit.Filter, after *row, where *[]string, args []any) (string, []any) {
	sign, dir := ">", ""
	if f.Reverse {
		sign, dir = "<", " desc"
	}
	if f.Replica != "" && f.AfterSeq > 0 {
		if after != nil {
			*where = append(*where, "seq "+sign+" ?")
			args = append(args, after.seq)
		}
		return "seq" + dir, args
	}
	if after != nil {
		*where = append(*where, "(time_ns, replica, seq) "+sign+" (?, ?, ?)")
		args = append(args, after.timeNS, after.replica, after.seq)
	}
	return "time_ns" + dir + ", replica" + dir + ", seq" + dir, args
}
