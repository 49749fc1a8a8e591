package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Fault is one thing wrong with a journal.
type Fault struct {
	Replica string
	Seq     uint64
	Reason  string
}

// String is the line that `remediator audit verify` prints.
func (f Fault) String() string { return fmt.Sprintf("%s %d %s", f.Replica, f.Seq, f.Reason) }

// Summary of a verification.
type Summary struct {
	Records int
	Heads   map[string]Head // newest record seen by replica
	Last    time.Time
}

// VerifyOptions of a verification.
type VerifyOptions struct {
	Key []byte
	// Heads, exported earlier, that the chain must reach: so a cut tail shows.
	Heads []Head
	// Sparse allows gaps: the records are a selection (a filtered export). Each
	// record's own hash is checked, and the links between neighbours.
	Sparse bool
}

// Source is where records come from: a driver, or a file of JSON lines.
type Source interface {
	Scan(ctx context.Context, f Filter, fn func(Stored) error) error
}

// verifier follows the chain of each replica.
type verifier struct {
	o      VerifyOptions
	faults []Fault
	sum    Summary
	prev   map[string]*link
}

type link struct {
	seq  uint64
	hash string // as recomputed
	said string // as recorded
}

// Verify recomputes every hash and every link. A changed record is named once: the
// chain is taken up again behind it.
func Verify(ctx context.Context, src Source, f Filter, o VerifyOptions) ([]Fault, Summary, error) {
	v := &verifier{o: o, prev: map[string]*link{}, sum: Summary{Heads: map[string]Head{}}}
	partial := f.AfterSeq > 0
	err := src.Scan(ctx, f, func(s Stored) error {
		v.record(s, partial)
		return nil
	})
	if err != nil {
		return v.faults, v.sum, err
	}
	for _, h := range o.Heads {
		v.head(h)
	}
	return v.faults, v.sum, nil
}

func (v *verifier) fault(replica string, seq uint64, format string, args ...any) {
	v.faults = append(v.faults, Fault{replica, seq, fmt.Sprintf(format, args...)})
}

// sealed is what verification reads of a record's JSON.
type sealed struct {
	Seq     uint64 `json:"seq"`
	Replica string `json:"replica"`
	Time    Time   `json:"time"`
	Prev    string `json:"prev"`
	Hash    string `json:"hash"`
}

func (v *verifier) record(s Stored, partial bool) {
	v.sum.Records++
	var r sealed
	if err := json.Unmarshal(s.JSON, &r); err != nil {
		if s.Record != nil {
			r.Seq, r.Replica = s.Record.Seq, s.Record.Replica
		}
		v.fault(r.Replica, r.Seq, "cannot be read: %v", err)
		v.prev[r.Replica] = &link{seq: r.Seq}
		return
	}
	got, err := HashOf(s.JSON, v.o.Key)
	said := r
	if s.Record != nil { // where a store keeps it; what it says of itself may be the change
		r.Seq, r.Replica = s.Record.Seq, s.Record.Replica
	}
	switch {
	case err != nil || got != r.Hash:
		v.fault(r.Replica, r.Seq, "was changed: its hash is %.12s…, recorded is %.12s…", got, r.Hash)
	case said.Seq != r.Seq || said.Replica != r.Replica:
		v.fault(r.Replica, r.Seq, "is filed under another place than it says (%s %d)", said.Replica, said.Seq)
	}
	v.link(r, got, partial)
	for _, h := range v.o.Heads {
		if h.Seq == r.Seq && (h.Replica == r.Replica || h.Replica == "") && h.Hash != r.Hash {
			v.fault(r.Replica, r.Seq, "is not the exported head: its hash is %.12s…, exported was %.12s…", r.Hash, h.Hash)
		}
	}
	if r.Time.After(v.sum.Last) {
		v.sum.Last = r.Time.Time
	}
	if r.Seq >= v.sum.Heads[r.Replica].Seq {
		v.sum.Heads[r.Replica] = Head{Replica: r.Replica, Seq: r.Seq, Hash: r.Hash}
	}
}

// link compares a record with the one before it.
func (v *verifier) link(r sealed, got string, partial bool) {
	before := v.prev[r.Replica]
	v.prev[r.Replica] = &link{seq: r.Seq, hash: got, said: r.Hash}
	switch {
	case before == nil:
		if r.Seq == 1 && r.Prev != ZeroHash {
			v.fault(r.Replica, r.Seq, "is the first record but names one before it")
		}
		if r.Seq != 1 && !partial && !v.o.Sparse {
			v.fault(r.Replica, 1, "is missing: the first record is %d", r.Seq)
		}
	case r.Seq == before.seq:
		v.fault(r.Replica, r.Seq, "is there twice")
	case r.Seq < before.seq:
		v.fault(r.Replica, r.Seq, "comes after %d: the order was changed", before.seq)
	case r.Seq > before.seq+1:
		if !v.o.Sparse {
			v.fault(r.Replica, before.seq+1, "is missing: after %d comes %d", before.seq, r.Seq)
		}
	case before.said != "" && r.Prev != before.said && r.Prev != before.hash:
		v.fault(r.Replica, r.Seq, "does not follow record %d: its prev is %.12s…", before.seq, r.Prev)
	}
}

// head compares the end of a chain with one that was exported.
func (v *verifier) head(h Head) {
	if h.Seq == 0 {
		return
	}
	got, ok := v.sum.Heads[h.Replica]
	if !ok && h.Replica == "" && len(v.sum.Heads) == 1 {
		for _, got = range v.sum.Heads {
			h.Replica, ok = got.Replica, true
		}
	}
	if !ok || got.Seq < h.Seq {
		v.fault(h.Replica, got.Seq+1, "is missing: the tail was cut, the exported head is %d", h.Seq)
	}
}
