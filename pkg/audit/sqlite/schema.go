package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"

	_ "modernc.org/sqlite" // the driver of database/sql
)

// dsn of a connection; mode is SQLite's, "" is read and write. The WAL is never
// truncated (journal_size_limit=-1): its space is part of the reserve.
func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{}
	for _, p := range append([]string{"busy_timeout(5000)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	out := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	if mode != "" {
		out += "&mode=" + mode
	}
	return out
}

func open(ctx context.Context, dsn string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
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
create table if not exists reserve (noise blob not null);
create index if not exists records_time on records (time_ns, replica, seq);
create index if not exists records_remediation on records (remediation, time_ns) where remediation <> '';
create index if not exists records_incident on records (incident, time_ns) where incident <> '';
create index if not exists records_episode on records (episode, time_ns) where episode <> '';
create index if not exists records_fingerprint on records (fingerprint, time_ns) where fingerprint <> '';
create index if not exists records_alertname on records (alertname, time_ns) where alertname <> '';
create index if not exists records_type on records (type, time_ns);
create index if not exists records_policy on records (policy, time_ns) where policy <> '';
`

// migrate makes the schema and the replica's name in one transaction, where they
// are missing: a start on a disk that is full, but holds a store, writes nothing.
func (s *Store) migrate(ctx context.Context) error {
	var version int
	var kept string
	err := s.writer.QueryRowContext(ctx, "select version, value from meta_schema, meta where name = 'replica'").Scan(&version, &kept)
	if err == nil && (version != schemaVersion || s.opts.Replica == "" || s.opts.Replica == kept) {
		return nil // a newer version is refused by know
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(s.opts.Path, err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it says only that it is over
	name, set := s.opts.Replica, "insert into meta values ('replica', ?) on conflict (name) do update set value = excluded.value"
	if name == "" {
		var b [4]byte
		_, _ = rand.Read(b[:])
		name = "remediator-" + hex.EncodeToString(b[:])
	}
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{schema, nil},
		{"insert into meta_schema select ? where not exists (select 1 from meta_schema)", []any{schemaVersion}},
		{set, []any{name}},
	} {
		if _, err := tx.ExecContext(ctx, step.sql, step.args...); err != nil {
			return unavailable(s.opts.Path, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return unavailable(s.opts.Path, err)
	}
	return nil
}
