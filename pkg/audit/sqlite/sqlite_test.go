package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
)

func openLog(t *testing.T, path string, o audit.Options) *audit.Log {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, ReserveBytes: 4 << 20})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func record(i int) *audit.Record {
	return &audit.Record{Type: audit.CheckFinished, Remediation: fmt.Sprintf("r-%d", i), Targets: []string{"docker:local/api"}, Data: audit.JSON(map[string]string{"pad": strings.Repeat("x", 700)})}
}

func TestStore_AppendsInOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "remediator.db")
	var seen []uint64
	l := openLog(t, path, audit.Options{OnCommit: func(recs []*audit.Record) {
		for _, r := range recs {
			seen = append(seen, r.Seq)
		}
	}})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				require.NoError(t, l.Append(context.Background(), record(w*100+i), record(w*100+i)))
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 640)
	for i, s := range seen {
		require.EqualValues(t, i+1, s, "OnCommit sees records in their order")
	}
	faults, sum, err := audit.Verify(t.Context(), l, audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{l.Head()}})
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, 640, sum.Records)

	n := 0
	require.NoError(t, l.Scan(t.Context(), audit.Filter{Target: "docker:local/api", Limit: 7}, func(audit.Stored) error { n++; return nil }))
	require.Equal(t, 7, n)
	info, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.EqualValues(t, 0o700, info.Mode().Perm())
}

func TestStore_OneDaemonAtATimeAndReadersBesideIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	l := openLog(t, path, audit.Options{})
	require.NoError(t, l.Append(t.Context(), record(1)))
	_, err := Open(t.Context(), Options{Path: path})
	require.ErrorContains(t, err, fmt.Sprintf("is held by another remediator (pid %d)", os.Getpid()))
	ro, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.NoError(t, err)
	h, err := ro.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, l.Head(), h)
	require.NoError(t, ro.Close())
}
