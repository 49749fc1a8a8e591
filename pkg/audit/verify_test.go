package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exported is a journal of n records as JSON lines, and its head.
func exported(t *testing.T, n int, key []byte) ([][]byte, Head) {
	t.Helper()
	d := &faulty{}
	l := openFaulty(t, d, Options{Key: key})
	var out [][]byte
	for i := range n {
		require.NoError(t, l.Append(t.Context(), &Record{Type: CheckFinished, Remediation: fmt.Sprintf("r-%d", i)}))
	}
	for _, s := range d.recs {
		out = append(out, s.JSON)
	}
	return out, l.Head()
}

func TestVerify_NamesEachFaultOnce(t *testing.T) {
	lines, head := exported(t, 10, nil)
	edit := func(i int, from, to string) func([][]byte) [][]byte {
		return func(l [][]byte) [][]byte {
			require.Contains(t, string(l[i]), from)
			l[i] = bytes.Replace(l[i], []byte(from), []byte(to), 1)
			return l
		}
	}
	for _, c := range []struct {
		name   string
		change func([][]byte) [][]byte
		sparse bool
		want   []string
	}{
		{name: "nothing", change: func(l [][]byte) [][]byte { return l }},
		{name: "a changed byte", change: edit(4, `"r-4"`, `"r-5"`), want: []string{"r 5 was changed"}},
		{name: "a changed hash", change: edit(4, `"hash":"`, `"hash":"0`), want: []string{"r 5 was changed"}},
		{name: "a changed prev", change: edit(4, `"prev":"`, `"prev":"0`), want: []string{"r 5 was changed"}},
		{name: "a changed first", change: edit(0, `"r-0"`, `"r-1"`), want: []string{"r 1 was changed"}},
		{name: "a changed last", change: edit(9, `"r-9"`, `"r-8"`), want: []string{"r 10 was changed"}},
		{name: "a second value of a member", change: edit(4, `"remediation":"r-4"`, `"remediation":"r-9","remediation":"r-4"`), want: []string{"r 5 cannot be read"}},
		{name: "white space alone", change: edit(4, `,`, ` , `)},
		{name: "one removed", change: func(l [][]byte) [][]byte { return slices.Delete(l, 4, 5) }, want: []string{"r 5 is missing: after 4 comes 6"}},
		{name: "several removed", change: func(l [][]byte) [][]byte { return slices.Delete(l, 4, 7) }, want: []string{"r 5 is missing, and so are those up to 7"}},
		{name: "the first removed", change: func(l [][]byte) [][]byte { return l[1:] }, want: []string{"r 1 is missing: the first record is 2"}},
		{name: "the tail cut", change: func(l [][]byte) [][]byte { return l[:8] }, want: []string{"r 9 is missing: the tail was cut, the exported head is 10"}},
		{name: "all gone", change: func([][]byte) [][]byte { return nil }, want: []string{"r 1 is missing: the tail was cut"}},
		{name: "two swapped", change: func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }, want: []string{"r 5 comes after 6: it was moved or doubled"}},
		{name: "one doubled", change: func(l [][]byte) [][]byte { return slices.Insert(l, 5, l[4]) }, want: []string{"r 5 is there twice"}},
		{name: "one unreadable", change: func(l [][]byte) [][]byte { l[4] = []byte(`{"seq":5,`); return l }, want: []string{"line: 5 cannot be read"}},
		{name: "the first unreadable", change: func(l [][]byte) [][]byte { l[0] = []byte(`%`); return l }, want: []string{"line: 1 cannot be read"}},
		{name: "a line put in", change: func(l [][]byte) [][]byte { return slices.Insert(l, 5, []byte(`{"hello":1}`)) }, want: []string{"line: 6 cannot be read"}},
		{name: "two faults", change: func(l [][]byte) [][]byte { return slices.Delete(edit(2, `"r-2"`, `"r-x"`)(l), 6, 7) }, want: []string{"r 3 was changed", "r 7 is missing"}},
		{name: "a selection", sparse: true, change: func(l [][]byte) [][]byte { return [][]byte{l[2], l[3], l[7], l[9]} }},
		{name: "a selection with a change", sparse: true, change: func(l [][]byte) [][]byte { return edit(1, `"r-3"`, `"r-4"`)([][]byte{l[2], l[3], l[9]}) }, want: []string{"r 4 was changed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var own [][]byte
			for _, l := range lines {
				own = append(own, bytes.Clone(l))
			}
			file := bytes.Join(c.change(own), []byte("\n"))
			faults, _, err := Verify(t.Context(), Lines{R: bytes.NewReader(file)}, Filter{}, VerifyOptions{Heads: []Head{head}, Sparse: c.sparse})
			require.NoError(t, err)
			require.Len(t, faults, len(c.want), "%v", faults)
			for i, want := range c.want {
				require.True(t, strings.HasPrefix(faults[i].String(), want), "%q, want %q", faults[i], want)
			}
		})
	}
}

// reseal gives a changed line the hash that belongs to it, as a forger would.
func reseal(t *testing.T, line []byte, key []byte) []byte {
	t.Helper()
	hash, err := HashOf(line, key)
	require.NoError(t, err)
	i := bytes.Index(line, []byte(`"hash":"`)) + len(`"hash":"`)
	return slices.Concat(line[:i], []byte(hash), line[i+len(hash):])
}

func TestVerify_AForgedHashShowsAtTheNextRecordAndAtTheHead(t *testing.T) {
	lines, _ := exported(t, 5, nil)
	lines[2] = reseal(t, bytes.Replace(lines[2], []byte(`"r-2"`), []byte(`"r-x"`), 1), nil)
	file := bytes.Join(lines, []byte("\n"))
	faults, _, err := Verify(t.Context(), Lines{R: bytes.NewReader(file)}, Filter{}, VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].String(), "r 4 does not follow record 3")

	lines, head := exported(t, 5, nil)
	lines[4] = reseal(t, bytes.Replace(lines[4], []byte(`"r-4"`), []byte(`"r-x"`), 1), nil)
	file = bytes.Join(lines, []byte("\n"))
	head.Replica = "" // as --head gives it
	faults, _, err = Verify(t.Context(), Lines{R: bytes.NewReader(file)}, Filter{}, VerifyOptions{Heads: []Head{head}})
	require.NoError(t, err)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].String(), "r 5 is not the exported head")
}

func TestVerify_WithAKeyAForgerNeedsIt(t *testing.T) {
	key := Key([]byte("secret\n"))
	require.Equal(t, "secret", string(key))
	lines, _ := exported(t, 3, key)
	lines[2] = reseal(t, bytes.Replace(lines[2], []byte(`"r-2"`), []byte(`"r-x"`), 1), nil)
	faults, _, err := Verify(t.Context(), Lines{R: bytes.NewReader(bytes.Join(lines, []byte("\n")))}, Filter{}, VerifyOptions{Key: key})
	require.NoError(t, err)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].String(), "r 3 was changed")
}

func TestVerify_FollowsEachReplicaOnItsOwn(t *testing.T) {
	a, _ := exported(t, 4, nil)
	var file []byte
	prev := ZeroHash
	for i, line := range a {
		other := bytes.Replace(line, []byte(`"replica":"r"`), []byte(`"replica":"b"`), 1)
		at := bytes.Index(other, []byte(`"prev":"`)) + len(`"prev":"`)
		other = reseal(t, slices.Concat(other[:at], []byte(prev), other[at+64:]), nil)
		prev, _ = HashOf(other, nil)
		if i != 2 { // b 3 is missing
			file = append(append(file, other...), '\n')
		}
		file = append(append(file, line...), '\n')
	}
	faults, sum, err := Verify(t.Context(), Lines{R: bytes.NewReader(file)}, Filter{}, VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, faults, 1)
	require.Equal(t, "b 3 is missing: after 2 comes 4", faults[0].String())
	require.Equal(t, 7, sum.Records)
	require.Len(t, sum.Heads, 2)
}

func TestLines_RefusesAnEndlessLine(t *testing.T) {
	err := Lines{R: strings.NewReader(strings.Repeat("x", maxLine+2<<20))}.Scan(t.Context(), Filter{}, func(Stored) error { return nil })
	require.ErrorContains(t, err, "line 1: longer than")
}
