package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	sqlite3 "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/stellarescrow/remediator/pkg/audit"
)

const (
	insertRecord = `insert into records (replica, seq, time_ns, type, incident, remediation, policy, episode, target, fingerprint, alertname, json)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertTarget = "insert into record_targets (target, time_ns, replica, seq) values (?, ?, ?, ?)"
)

// Append commits the batch in one transaction, synced to the disk. On a full disk
// it gives up the ballast and tries once more.
func (s *Store) Append(ctx context.Context, batch []audit.Stored) error {
	if s.opts.ReadOnly {
		return unavailable(s.opts.Path, errors.New("it is open for reading only"))
	}
	err := s.insert(ctx, batch)
	if full(err) && s.reserve.release() {
		err = s.insert(ctx, batch)
	}
	if err != nil {
		s.doubt = s.doubt || !harmless(err)
		return unavailable(s.opts.Path, err)
	}
	s.look(ctx)
	return nil
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*sqlite3.Error](err); ok {
		return e.Code()
	}
	return 0
}

// full says whether an error means that the disk is full, or the quota used up.
func full(err error) bool {
	switch code := codeOf(err); code {
	case lib.SQLITE_IOERR_WRITE, lib.SQLITE_IOERR_SHMSIZE, lib.SQLITE_IOERR_SHMMAP:
		return true
	default:
		return code&0xff == lib.SQLITE_FULL || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
	}
}

// harmless says whether an error left no doubt: the transaction was rolled back.
func harmless(err error) bool {
	switch codeOf(err) & 0xff {
	case lib.SQLITE_FULL, lib.SQLITE_CONSTRAINT, lib.SQLITE_READONLY, lib.SQLITE_BUSY, lib.SQLITE_TOOBIG:
		return true
	}
	return false
}

func (s *Store) insert(ctx context.Context, batch []audit.Stored) error {
	db, _ := s.handles()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it says only that it is over
	record, err := tx.PrepareContext(ctx, insertRecord)
	if err != nil {
		return err
	}
	defer record.Close()
	target, err := tx.PrepareContext(ctx, insertTarget)
	if err != nil {
		return err
	}
	defer target.Close()
	for _, st := range batch {
		c := audit.ColumnsOf(st.Record)
		if _, err := record.ExecContext(ctx, c.Replica, c.Seq, c.TimeNS, c.Type, c.Incident, c.Remediation,
			c.Policy, c.Episode, c.Target, c.Fingerprint, c.Alertname, st.JSON); err != nil {
			return err
		}
		for _, t := range c.Targets {
			if _, err := target.ExecContext(ctx, t, c.TimeNS, c.Replica, c.Seq); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// Head is the newest record of this store's replica.
func (s *Store) Head(ctx context.Context) (audit.Head, error) {
	_, db := s.handles()
	h := audit.Head{Replica: s.replica, Hash: audit.ZeroHash}
	var line []byte
	err := db.QueryRowContext(ctx, "select seq, json from records where replica = ? order by seq desc limit 1", s.replica).Scan(&h.Seq, &line)
	if errors.Is(err, sql.ErrNoRows) {
		return h, nil
	}
	if err != nil {
		return h, unavailable(s.opts.Path, err)
	}
	var r struct {
		Hash string `json:"hash"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return h, fmt.Errorf("audit store %s: record %s %d cannot be read: %w", s.opts.Path, h.Replica, h.Seq, err)
	}
	h.Hash = r.Hash
	return h, nil
}
