// Package sqlite keeps the journal in one SQLite file: pure Go, full durability,
// and space reserved ahead so that a full disk does not stop the remediation of a
// full disk.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// DefaultReserve is the space reserved for a full disk, in bytes.
const DefaultReserve = 16 << 20

// Options of a store.
type Options struct {
	Path    string
	Replica string // "": the kept one, or a new one
	// ReserveBytes is kept aside for a full disk; 0: DefaultReserve, negative: none.
	ReserveBytes int64
	// ReadOnly opens a store, also one in use, for reading only. Nothing in it is
	// changed; an empty WAL and its index may be left beside it. Where the
	// directory cannot be written it may be a copy at rest.
	ReadOnly bool
}

// Store is an audit.Driver.
type Store struct {
	opts    Options
	replica string
	lock    *os.File
	reserve *reserve
	doubt   bool // the last failure may concern what the disk holds; writer only

	mu     sync.Mutex // guards the handles, which Recover replaces
	writer *sql.DB
	reader *sql.DB
}

var (
	_ audit.Driver  = (*Store)(nil)
	_ audit.Indexed = (*Store)(nil)
)

var goodReplica = regexp.MustCompile(`^[a-z0-9-]+$`)

// unavailable is an error of the file system or of SQLite about a file.
func unavailable(path string, err error) error {
	return fmt.Errorf("%w: %s: %w", audit.ErrUnavailable, path, err)
}

// Open opens or creates a store. A second daemon on the same store is refused.
// ErrUnavailable: it cannot be written now (full, read-only, not permitted).
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Replica != "" && !goodReplica.MatchString(o.Replica) {
		return nil, fmt.Errorf("replica %q: want lower-case letters, digits and dashes", o.Replica)
	}
	if path, err := filepath.EvalSymlinks(o.Path); err == nil {
		o.Path = path // the lock lies beside the store, whatever the name that led to it
	}
	s := &Store{opts: o}
	if o.ReadOnly {
		return s, s.openReadOnly(ctx)
	}
	s.reserve = newReserve(o.Path, o.ReserveBytes)
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, unavailable(o.Path, err)
	}
	// The lock comes before anything touches the store: closing a descriptor of
	// it would drop the POSIX locks that SQLite in this process has on it.
	lock, err := acquire(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	s.lock = lock
	err = s.openAll(ctx)
	if full(err) && s.reserve.release() {
		err = s.openAll(ctx)
	}
	if err != nil {
		s.lock.Close()
		return nil, err
	}
	s.look(ctx)
	return s, nil
}

// openAll opens or creates the file, its schema and its connections.
func (s *Store) openAll(ctx context.Context) error {
	if err := create(s.opts.Path); err != nil {
		return err
	}
	if err := s.openWriter(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		s.writer.Close()
		return err
	}
	db, err := open(ctx, dsn(s.opts.Path, "", "query_only(1)"))
	if err == nil {
		err = s.know(ctx, db)
	}
	if err != nil {
		s.writer.Close()
		return err
	}
	return nil
}

// create makes the file, for its owner only, and its entry durable: a store that
// vanishes with a power cut is no audit log.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unavailable(path, err)
	}
	if err := f.Close(); err != nil {
		return unavailable(path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return unavailable(path, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return unavailable(path, fmt.Errorf("sync of the directory: %w", err))
	}
	return nil
}

func (s *Store) openWriter(ctx context.Context) error {
	db, err := open(ctx, dsn(s.opts.Path, "", "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(-1)", "wal_autocheckpoint(1000)"))
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	db.SetMaxOpenConns(1)
	s.writer = db
	return nil
}

// openReadOnly opens a store that another process may be writing. Reading a WAL
// takes its index in shared memory; where that cannot be made (a directory that
// is not ours to write) and there is no WAL, the file is at rest and is read as
// it is.
func (s *Store) openReadOnly(ctx context.Context) error {
	if _, err := os.Stat(s.opts.Path); err != nil {
		return fmt.Errorf("audit store: %w", err)
	}
	db, err := open(ctx, dsn(s.opts.Path, "ro", "query_only(1)"))
	if err == nil {
		if err = s.know(ctx, db); err == nil {
			return nil
		}
	}
	if codeOf(err) != 0 {
		err = fmt.Errorf("audit store %s: %w", s.opts.Path, err)
	}
	if wal, werr := os.Stat(s.opts.Path + "-wal"); werr == nil && wal.Size() > 0 {
		return err
	}
	if db, ierr := open(ctx, dsn(s.opts.Path, "ro&immutable=1", "query_only(1)")); ierr == nil && s.know(ctx, db) == nil {
		return nil
	}
	return err
}

// know reads the schema's version and the replica, and keeps the handle for reading.
func (s *Store) know(ctx context.Context, db *sql.DB) error {
	db.SetMaxOpenConns(4)
	var version int
	err := db.QueryRowContext(ctx, "select version from meta_schema").Scan(&version)
	switch {
	case err != nil:
		err = fmt.Errorf("audit store %s: not a store of remediator, or damaged: %w", s.opts.Path, err)
	case version > schemaVersion:
		err = fmt.Errorf("audit store %s: written by a newer remediator (schema %d, this one knows %d): use that one", s.opts.Path, version, schemaVersion)
	default:
		if err = db.QueryRowContext(ctx, "select value from meta where name = 'replica'").Scan(&s.replica); err != nil {
			err = fmt.Errorf("audit store %s: no replica name in it: %w", s.opts.Path, err)
		}
	}
	if err != nil {
		db.Close()
		return err
	}
	s.reader = db
	return nil
}

// Replica is the configured name, or the one made once and kept.
func (s *Store) Replica() string { return s.replica }

// ReserveHeld says whether the space for a full disk is there in full. It is false
// on a full disk, and for up to a minute after there is room again.
func (s *Store) ReserveHeld() bool { return s.reserve != nil && s.reserve.held() }

// look after the reserve, where that is due.
func (s *Store) look(ctx context.Context) {
	if s.reserve.due() {
		_ = s.reserve.restore(ctx, s.writer) // a full disk is no error here: ReserveHeld
	}
}

func (s *Store) handles() (writer, reader *sql.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writer, s.reader
}

// Recover opens the file anew: after a failed sync nothing that the old handle
// says about it can be relied on. What the WAL holds then is copied into the store
// and synced there, because the kernel forgets what a failed sync did not write:
// syncing the WAL again would prove nothing.
func (s *Store) Recover(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.ReadOnly {
		return errors.New("audit store is open for reading only")
	}
	s.writer.Close()
	if err := s.openWriter(ctx); err != nil {
		return err
	}
	if !s.doubt {
		return nil
	}
	var busy, frames, moved int
	if err := s.writer.QueryRowContext(ctx, "pragma wal_checkpoint(full)").Scan(&busy, &frames, &moved); err != nil {
		return unavailable(s.opts.Path, err)
	}
	if busy != 0 || moved < frames {
		return unavailable(s.opts.Path, errors.New("a reader keeps the store from being recovered"))
	}
	s.doubt = false
	return nil
}

// Close closes the file and lets another daemon have it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil { // last, so that it can put the WAL away
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
