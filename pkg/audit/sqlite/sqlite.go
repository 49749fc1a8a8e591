// Package sqlite keeps the journal in one SQLite file: pure Go, full durability,
// and space reserved ahead so that a full disk does not stop the remediation of a
// full disk.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/stellarescrow/remediator/pkg/audit"
)

// DefaultReserve is the size of the ballast beside the store, in bytes.
const DefaultReserve = 16 << 20

// Options of a store.
type Options struct {
	Path    string
	Replica string // "": the kept one, or a new one
	// ReserveBytes is kept aside for a full disk; 0: DefaultReserve, negative: none.
	ReserveBytes int64
	// ReadOnly opens a store, also one in use, for reading only.
	ReadOnly bool
}

// Store is an audit.Driver.
type Store struct {
	opts    Options
	replica string
	lock    *os.File
	ballast *ballast

	mu     sync.Mutex // guards the handles, which Recover replaces
	writer *sql.DB
	reader *sql.DB
}

var _ audit.Driver = (*Store)(nil)

var goodReplica = regexp.MustCompile(`^[a-z0-9-]+$`)

// Open opens or creates a store. One daemon at a time: a second one is refused.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Replica != "" && !goodReplica.MatchString(o.Replica) {
		return nil, fmt.Errorf("replica %q: want lower-case letters, digits and dashes", o.Replica)
	}
	s := &Store{opts: o}
	if o.ReadOnly {
		if _, err := os.Stat(o.Path); err != nil {
			return nil, fmt.Errorf("audit store: %w", err)
		}
		return s, s.openReader(ctx)
	}
	if err := prepareDir(o.Path); err != nil {
		return nil, err
	}
	lock, err := acquire(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	s.lock = lock
	if err := s.openAll(ctx); err != nil {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

// prepareDir makes the store's directory, for its owner only, and makes its entry
// durable: a store that vanishes with a power cut is no audit log.
func prepareDir(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("audit store %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("audit store %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("audit store %s: %w", path, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit store: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("audit store: sync of %s: %w", dir, err)
	}
	return nil
}

func (s *Store) openAll(ctx context.Context) error {
	if err := s.openWriter(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		s.writer.Close()
		return err
	}
	if err := s.openReader(ctx); err != nil {
		s.writer.Close()
		return err
	}
	reserve := s.opts.ReserveBytes
	if reserve == 0 {
		reserve = DefaultReserve
	}
	s.ballast = newBallast(s.opts.Path+".reserve", reserve)
	return nil
}

// dsn of a connection. The WAL is never truncated (journal_size_limit=-1): its
// space is part of the reserve.
func dsn(path string, pragmas ...string) string {
	q := url.Values{}
	for _, p := range append([]string{"busy_timeout(5000)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (s *Store) openWriter(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(s.opts.Path, "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(-1)", "wal_autocheckpoint(1000)"))
	if err != nil {
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	s.writer = db
	return nil
}

func (s *Store) openReader(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(s.opts.Path, "query_only(1)"))
	if err != nil {
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	db.SetMaxOpenConns(4)
	var version int
	if err := db.QueryRowContext(ctx, "select version from meta_schema").Scan(&version); err != nil {
		db.Close()
		return fmt.Errorf("audit store %s: not a store of remediator, or damaged: %w", s.opts.Path, err)
	}
	if version > schemaVersion {
		db.Close()
		return fmt.Errorf("audit store %s: written by a newer remediator (schema %d, this one knows %d)", s.opts.Path, version, schemaVersion)
	}
	if err := db.QueryRowContext(ctx, "select value from meta where name = 'replica'").Scan(&s.replica); err != nil {
		db.Close()
		return fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	s.reader = db
	return nil
}

const schemaVersion = 1

const schema = `
create table if not exists meta_schema (version integer not null);
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists records (
  replica text not null, seq integer not null, time_ns integer not null, type text not null,
  incident text not null, remediation text not null, policy text not null, episode text not null,
  target text not null, fingerprint text not null, alertname text not null, json blob not null,
  primary key (replica, seq)
);
create table if not exists record_targets (
  target text not null, time_ns integer not null, replica text not null, seq integer not null,
  primary key (target, time_ns, replica, seq)
) without rowid;
create index if not exists records_time on records (time_ns, replica, seq);
create index if not exists records_remediation on records (remediation, time_ns) where remediation <> '';
create index if not exists records_incident on records (incident, time_ns) where incident <> '';
create index if not exists records_episode on records (episode, time_ns) where episode <> '';
create index if not exists records_fingerprint on records (fingerprint, time_ns) where fingerprint <> '';
create index if not exists records_alertname on records (alertname, time_ns) where alertname <> '';
create index if not exists records_type on records (type, time_ns);
create index if not exists records_policy on records (policy, time_ns) where policy <> '';
`

func (s *Store) migrate(ctx context.Context) error {
	fail := func(err error) error { return fmt.Errorf("audit store %s: %w", s.opts.Path, err) }
	if _, err := s.writer.ExecContext(ctx, schema); err != nil {
		return fail(err)
	}
	var n int
	if err := s.writer.QueryRowContext(ctx, "select count(*) from meta_schema").Scan(&n); err != nil {
		return fail(err)
	}
	if n == 0 {
		if _, err := s.writer.ExecContext(ctx, "insert into meta_schema values (?)", schemaVersion); err != nil {
			return fail(err)
		}
	}
	name := s.opts.Replica
	if name == "" {
		var b [4]byte
		_, _ = rand.Read(b[:])
		name = "remediator-" + hex.EncodeToString(b[:])
	}
	set := "insert into meta values ('replica', ?) on conflict (name) do nothing"
	if s.opts.Replica != "" {
		set = "insert into meta values ('replica', ?) on conflict (name) do update set value = excluded.value"
	}
	if _, err := s.writer.ExecContext(ctx, set, name); err != nil {
		return fail(err)
	}
	return nil
}

// Replica is the configured name, or the one made once and kept.
func (s *Store) Replica() string { return s.replica }

func (s *Store) handles() (writer, reader *sql.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writer, s.reader
}

// Recover opens the file anew: after a failed fsync nothing that the old handle
// says about it can be relied on.
func (s *Store) Recover(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.ReadOnly {
		return errors.New("audit store is open for reading only")
	}
	s.writer.Close()
	return s.openWriter(ctx)
}

// Close closes the file and lets another daemon have it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	errs = append(errs, s.reader.Close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
