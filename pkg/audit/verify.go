package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Fault is one thing wrong with a journal.
type Fault struct {
	Replica string
	Seq     uint64
	Reason  string
}

// String is the line that `remediator audit verify` prints.
func (f Fault) String() string { return f.where() + " " + f.Reason }

func (f Fault) where() string { return fmt.Sprintf("%s %d", f.Replica, f.Seq) }

// Summary of a verification.
type Summary struct {
	Records int
	Heads   map[string]Head // newest record seen by replica
	Last    time.Time       // the newest time seen
	// Gaps that Sparse let pass.
	Gaps int
}

// VerifyOptions of a verification.
type VerifyOptions struct {
	Key []byte
	// Heads, exported earlier, that the chain must reach: so a cut tail shows. One
	// without a replica is meant for the only one there is.
	Heads []Head
	// Sparse allows gaps and a start later than record 1: the records are a
	// selection (a filtered or partial export). Each record's own hash is checked,
	// the order, and the links between records that follow one another; a record
	// that was taken out cannot be told from one that was not selected.
	Sparse bool
}

// Source is where records come from: a driver, or a file of JSON lines.
type Source interface {
	Scan(ctx context.Context, f Filter, fn func(Stored) error) error
}

// Verify recomputes every hash and every link, and gives the faults in the order in
// which they were found, each once: behind a changed, missing or misplaced record
// the chain is taken up again. In a store that is Indexed, columns that disagree
// with their record are faults too. The error is the source's.
func Verify(ctx context.Context, src Source, f Filter, o VerifyOptions) ([]Fault, Summary, error) {
	v := &verifier{o: o, partial: f.AfterSeq > 0 || o.Sparse, prev: map[string]*link{}, sum: Summary{Heads: map[string]Head{}}}
	var err error
	if store, ok := src.(Indexed); ok && onlyPlace(f) {
		err = store.ScanIndexed(ctx, f.Replica, f.AfterSeq, func(s Stored, c Columns) error {
			v.columns(s, c)
			return nil
		})
	} else {
		err = src.Scan(ctx, f, func(s Stored) error {
			v.record(s)
			return nil
		})
	}
	if err != nil {
		return v.faults, v.sum, err
	}
	for _, h := range o.Heads {
		v.head(h)
	}
	return v.faults, v.sum, nil
}

// onlyPlace says whether a filter selects by nothing but the place in a chain.
func onlyPlace(f Filter) bool {
	return f.Since.IsZero() && f.Until.IsZero() && f.Limit == 0 && !f.Reverse && len(f.Types) == 0 &&
		f.Incident+f.Remediation+f.Policy+f.Alert+f.Target == ""
}

// verifier follows the chain of each replica.
type verifier struct {
	o       VerifyOptions
	partial bool // the first record may be any
	// lostFirst: the file began with a line that cannot be read.
	lostFirst bool
	faults    []Fault
	sum       Summary
	prev      map[string]*link
}

// link is the place in a chain up to which it was followed.
type link struct {
	seq  uint64
	hash string // as recomputed
	said string // as recorded; "": unreadable
}

func (v *verifier) fault(replica string, seq uint64, format string, args ...any) {
	v.faults = append(v.faults, Fault{replica, seq, fmt.Sprintf(format, args...)})
}

// columns checks a record of a store and what it is filed under. The place counts
// for the chain, also where the JSON says another or none.
func (v *verifier) columns(s Stored, c Columns) {
	s.Record = &Record{Replica: c.Replica, Seq: c.Seq}
	before := len(v.faults)
	v.record(s)
	if len(v.faults) > before {
		return // named already
	}
	var r Record
	if err := json.Unmarshal(s.JSON, &r); err != nil {
		v.fault(c.Replica, c.Seq, "cannot be read: %v", err)
		return
	}
	if names := ColumnsOf(&r).differs(c); len(names) > 0 {
		v.fault(c.Replica, c.Seq, "is filed wrongly, filters may miss it: %s", strings.Join(names, ", "))
	}
}

// sealed is what verification reads of a record's JSON.
type sealed struct {
	Seq     uint64 `json:"seq"`
	Replica string `json:"replica"`
	Time    Time   `json:"time"`
	Prev    string `json:"prev"`
	Hash    string `json:"hash"`
}

func (v *verifier) record(s Stored) {
	v.sum.Records++
	replica, seq := "", uint64(0)
	if s.Record != nil {
		replica, seq = s.Record.Replica, s.Record.Seq
	}
	var r sealed
	if err := json.Unmarshal(s.JSON, &r); err != nil || r.Seq == 0 {
		if err == nil {
			err = fmt.Errorf("no record of remediator")
		}
		v.unreadable(replica, seq, err)
		return
	}
	got, err := HashOf(s.JSON, v.o.Key)
	if err != nil {
		v.unreadable(replica, seq, err)
		return
	}
	changed, misfiled := got != r.Hash, replica != r.Replica || seq != r.Seq
	if changed {
		v.fault(replica, seq, "was changed: its hash is %.12s…, recorded is %.12s…", got, r.Hash)
	} else if misfiled {
		v.fault(replica, seq, "is another record's place: it says it is %s %d", r.Replica, r.Seq)
		changed = true
	}
	r.Replica, r.Seq = replica, seq
	v.link(r, got, changed)
	if misfiled {
		v.prev[r.Replica] = &link{seq: r.Seq}
	}
	for _, h := range v.o.Heads {
		if h.Seq == r.Seq && (h.Replica == r.Replica || h.Replica == "") && h.Hash != r.Hash && !changed {
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

// unreadable names a record or line that is none, and takes the chain up behind it:
// a store knows its place, in a file the next readable line tells.
func (v *verifier) unreadable(replica string, seq uint64, err error) {
	v.fault(replica, seq, "cannot be read: %v", err)
	if replica != lineReplica {
		v.prev[replica] = &link{seq: seq}
		return
	}
	v.lostFirst = v.lostFirst || len(v.prev) == 0
	for _, l := range v.prev {
		l.lost()
	}
}

// lost allows that one record is missing behind this place: it was the line that
// could not be read.
func (l *link) lost() { l.seq, l.hash, l.said = l.seq+1, "", "" }

// link compares a record with the one before it. Where the record itself is known
// to be changed only its place is looked at.
func (v *verifier) link(r sealed, got string, changed bool) {
	before := v.prev[r.Replica]
	here := &link{seq: r.Seq, hash: got, said: r.Hash}
	switch {
	case before == nil:
		if r.Seq == 1 && r.Prev != ZeroHash && !changed {
			v.fault(r.Replica, r.Seq, "is the first record but names one before it")
		}
		if r.Seq != 1 && !v.partial && (r.Seq != 2 || !v.lostFirst) {
			v.missing(r.Replica, 1, r.Seq-1, fmt.Sprintf("the first record is %d", r.Seq))
		}
	case r.Seq == before.seq && before.said == "":
		// The unreadable line was not of this chain.
	case r.Seq == before.seq:
		v.fault(r.Replica, r.Seq, "is there twice")
	case r.Seq < before.seq:
		// The chain goes on where it was: one misplaced record is one fault.
		v.misplaced(r, before.seq)
		here = before
	case r.Seq > before.seq+1 && v.o.Sparse:
		v.sum.Gaps++
	case r.Seq > before.seq+1:
		v.missing(r.Replica, before.seq+1, r.Seq-1, fmt.Sprintf("after %d comes %d", before.seq, r.Seq))
	case before.said != "" && r.Prev != before.said && r.Prev != before.hash && !changed:
		v.fault(r.Replica, r.Seq, "does not follow record %d: its prev is %.12s…", before.seq, r.Prev)
	}
	v.prev[r.Replica] = here
}

// misplaced names a record that comes too late. If it was named missing where it
// should have been, it is not.
func (v *verifier) misplaced(r sealed, after uint64) {
	reason := fmt.Sprintf("comes after %d: it was moved or doubled", after)
	for i, f := range v.faults {
		if f.Replica == r.Replica && f.Seq == r.Seq && strings.HasPrefix(f.Reason, "is missing:") {
			v.faults[i].Reason = reason
			return
		}
	}
	v.fault(r.Replica, r.Seq, "%s", reason)
}

func (v *verifier) missing(replica string, from, to uint64, why string) {
	if from == to {
		v.fault(replica, from, "is missing: %s", why)
		return
	}
	v.fault(replica, from, "is missing, and so are those up to %d: %s", to, why)
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
