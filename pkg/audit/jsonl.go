package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one JSON line: a notification of the largest size, with room.
const maxLine = 64 << 20

// lineReplica stands for the replica of a line that is no record; Seq is then the
// line's number. No replica's name has a colon.
const lineReplica = "line:"

// Lines is an exported journal: one JSON object a line. It is a Source; filters
// other than none are not applied.
type Lines struct{ R io.Reader }

// Scan calls fn for each line. A line that is no record is passed on with its
// number as Seq, so that Verify names it.
func (l Lines) Scan(ctx context.Context, _ Filter, fn func(Stored) error) error {
	in := bufio.NewReaderSize(l.R, 1<<20)
	for n := uint64(1); ; n++ {
		line, err := readLine(in)
		if len(bytes.TrimSpace(line)) > 0 {
			r := &Record{}
			if json.Unmarshal(line, r) != nil || r.Seq == 0 {
				r = &Record{Seq: n, Replica: lineReplica}
			}
			if err := fn(Stored{Record: r, JSON: line}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
	}
}
