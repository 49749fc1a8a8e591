package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	sqlite3 "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/stellarescrow/remediator/pkg/alert"
	"github.com/stellarescrow/remediator/pkg/audit"
)

const insertRecord = `insert into records (replica, seq, time_ns, type, incident, remediation, policy, episode, target, fingerprint, alertname, json)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// Append commits the batch in one transaction, synced to the disk. On a full disk
// it gives up the ballast and tries once more.
func (s *Store) Append(ctx context.Context, batch []audit.Stored) error {
	err := s.insert(ctx, batch)
	if full(err) && s.ballast.release() {
		if rerr := s.Recover(ctx); rerr != nil {
			return errors.Join(err, rerr)
		}
		err = s.insert(ctx, batch)
	}
	if err != nil {
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	s.ballast.restore()
	return nil
}

// full says whether an error means that the disk is full.
func full(err error) bool {
	var e *sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == lib.SQLITE_FULL || e.Code() == lib.SQLITE_IOERR_WRITE || e.Code() == lib.SQLITE_IOERR_SHMSIZE
}

func (s *Store) insert(ctx context.Context, batch []audit.Stored) error {
	db, _ := s.handles()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it says only that it is over
	stmt, err := tx.PrepareContext(ctx, insertRecord)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, st := range batch {
		if err := insertOne(ctx, tx, stmt, st); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func insertOne(ctx context.Context, tx *sql.Tx, stmt *sql.Stmt, st audit.Stored) error {
	r := st.Record
	fingerprint, name := "", ""
	if r.Alert != nil {
		fingerprint, name = alert.Fingerprint(*r.Alert), r.Alert.Labels["alertname"]
	}
	ns := r.Time.UnixNano()
	if _, err := stmt.ExecContext(ctx, r.Replica, r.Seq, ns, string(r.Type), r.Incident, r.Remediation,
		r.Policy, r.Episode, r.Target, fingerprint, name, st.JSON); err != nil {
		return err
	}
	for _, t := range targets(r) {
		if _, err := tx.ExecContext(ctx, "insert into record_targets values (?, ?, ?, ?)", t, ns, r.Replica, r.Seq); err != nil {
			return err
		}
	}
	return nil
}

func targets(r *audit.Record) []string {
	all := slices.Clone(r.Targets)
	if r.Target != "" {
		all = append(all, r.Target)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Head is the newest record of this store's replica.
func (s *Store) Head(ctx context.Context) (audit.Head, error) {
	db, reader := s.handles()
	if db == nil {
		db = reader
	}
	h := audit.Head{Replica: s.replica, Hash: audit.ZeroHash}
	var line []byte
	err := db.QueryRowContext(ctx, "select seq, json from records where replica = ? order by seq desc limit 1", s.replica).Scan(&h.Seq, &line)
	if errors.Is(err, sql.ErrNoRows) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	var r audit.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return h, fmt.Errorf("audit store %s: record %d cannot be read: %w", s.opts.Path, h.Seq, err)
	}
	h.Hash = r.Hash
	return h, nil
}

// Scan streams matching records.
func (s *Store) Scan(ctx context.Context, f audit.Filter, fn func(audit.Stored) error) error {
	_, db := s.handles()
	query, args := selection(f)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var replica string
		var seq uint64
		var line []byte
		if err := rows.Scan(&replica, &seq, &line); err != nil {
			return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
		}
		r := &audit.Record{}
		if err := json.Unmarshal(line, r); err != nil {
			// Damage is for Verify to name; readers get what place it has.
			r = &audit.Record{}
		}
		r.Replica, r.Seq = replica, seq
		if err := fn(audit.Stored{Record: r, JSON: line}); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	return nil
}

// selection is the query of a filter. Values are always parameters.
func selection(f audit.Filter) (string, []any) {
	var where []string
	var args []any
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
	for column, v := range map[string]string{
		"replica": f.Replica, "incident": f.Incident, "remediation": f.Remediation, "policy": f.Policy,
	} {
		if v != "" {
			add(column+" = ?", v)
		}
	}
	if f.Alert != "" {
		add("(fingerprint = ? or alertname = ? or episode = ?)", f.Alert, f.Alert, f.Alert)
	}
	if f.Target != "" {
		add("exists (select 1 from record_targets t where t.target = ? and t.time_ns = records.time_ns and t.replica = records.replica and t.seq = records.seq)", f.Target)
	}
	if len(f.Types) > 0 {
		marks := make([]string, len(f.Types))
		for i, t := range f.Types {
			marks[i] = "?"
			args = append(args, string(t))
		}
		where = append(where, "type in ("+strings.Join(marks, ",")+")")
	}
	query := "select replica, seq, json from records"
	if len(where) > 0 {
		query += " where " + strings.Join(where, " and ")
	}
	dir := ""
	if f.Reverse {
		dir = " desc"
	}
	query += " order by time_ns" + dir + ", replica" + dir + ", seq" + dir
	if f.Limit > 0 {
		query += fmt.Sprintf(" limit %d", f.Limit)
	}
	return query, args
}
