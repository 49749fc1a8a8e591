package audit

import (
	"context"
	"errors"
	"time"
)

// Head is the end of one replica's chain. A cut tail shows against it.
type Head struct {
	Replica string `json:"replica"`
	Seq     uint64 `json:"seq"`
	Hash    string `json:"hash"`
}

// Stored is a record as a driver keeps it: JSON is the canonical form with its
// hash and is the truth; Record is the same, decoded, for index columns.
type Stored struct {
	Record *Record
	JSON   []byte
}

// Filter selects records; zero fields select everything. Since is inclusive,
// Until exclusive.
type Filter struct {
	Since, Until time.Time
	AfterSeq     uint64 // only seq > AfterSeq (of Replica, or of any)
	Replica      string
	Incident     string
	Remediation  string
	Policy       string
	Alert        string // fingerprint, alertname or episode id
	Target       string // also matches a record's targets list
	Types        []Type
	Limit        int
	Reverse      bool // newest first
}

// Errors of the store. Callers test with errors.Is.
var (
	// ErrUnavailable: nothing was written; the same append may succeed later.
	ErrUnavailable = errors.New("audit store unavailable")
	// ErrInDoubt: the caller's context ended while the commit was under way;
	// the records may or may not be durable.
	ErrInDoubt = errors.New("audit append in doubt")
	// ErrClosed: the log has been closed.
	ErrClosed = errors.New("audit log closed")
)

// Driver is one storage technology (SQLite, PostgreSQL). Implementations pass
// audittest.Run. Only Log calls Append, from one goroutine.
type Driver interface {
	// Replica is this store's replica name: configured, or made once and kept.
	Replica() string
	// Append makes the batch durable, all or nothing, before it returns nil.
	Append(ctx context.Context, batch []Stored) error
	// Head is the last durable record of this replica; seq 0 and 64 zeros when
	// there is none.
	Head(ctx context.Context) (Head, error)
	// Scan calls fn for each match in (time, replica, seq) order, streaming;
	// fn's error ends it and is returned.
	Scan(ctx context.Context, f Filter, fn func(Stored) error) error
	// Recover re-opens after a failed Append so that Head tells what is durable.
	Recover(ctx context.Context) error
	Close() error
}
