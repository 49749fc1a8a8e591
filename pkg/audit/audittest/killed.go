package audittest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// childStore is the variable that makes the test binary a child writer.
const childStore = "AUDITTEST_CHILD_STORE"

// Main turns the test binary into a child writer when the suite started it as one.
// Call it first in TestMain.
func Main(open func(ctx context.Context, address string) (audit.Driver, error)) {
	address := os.Getenv(childStore)
	if address == "" {
		return
	}
	if err := child(open, address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child appends from several goroutines and names each record on standard output
// once it is acknowledged, until it is killed.
func child(open func(ctx context.Context, address string) (audit.Driver, error), address string) error {
	ctx := context.Background()
	d, err := open(ctx, address)
	if err != nil {
		return err
	}
	l, err := audit.Open(ctx, d, audit.Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				recs := []*audit.Record{Record(w*1000 + i), Record(i)}
				if err := l.Append(ctx, recs...); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				for _, r := range recs {
					fmt.Printf("%d %s\n", r.Seq, r.Hash)
				}
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// killed lets a child write, kills it and compares what it had acknowledged with
// what is stored, several times on one store.
func killed(t *testing.T, s Suite) {
	const rounds = 8
	address := s.New(t)
	total := 0
	for round := range rounds {
		acked := killedOnce(t, address, 40+round*25)
		d := s.open(t, address)
		l, err := audit.Open(t.Context(), d, audit.Options{})
		require.NoError(t, err)
		stored := map[uint64]string{}
		for _, st := range collect(t, l, audit.Filter{}) {
			stored[st.Record.Seq] = st.Record.Hash
		}
		for seq, hash := range acked {
			require.Equal(t, hash, stored[seq], "record %d was acknowledged", seq)
		}
		sound(t, d, len(stored), l.Head())
		require.GreaterOrEqual(t, len(stored), total+len(acked))
		require.Zero(t, len(stored)%2, "an append of two records is there whole or not at all")
		total = len(stored)
		require.NoError(t, l.Close())
		t.Logf("round %d: %d acknowledged before kill -9, %d stored in all", round, len(acked), total)
	}
}

func killedOnce(t *testing.T, address string, after int) map[uint64]string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), childStore+"="+address)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	acked := map[uint64]string{}
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // also a line cut off by the kill: it was not read as an answer
		}
		seq, hash, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		require.True(t, ok && err == nil, "the child wrote %q", line)
		acked[n] = hash
		if len(acked) == after {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.ErrorContains(t, cmd.Wait(), "killed", stderr.String())
	require.GreaterOrEqual(t, len(acked), after)
	return acked
}
