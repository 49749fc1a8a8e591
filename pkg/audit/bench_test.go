package audit_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
	"github.com/stellarescrow/remediator/pkg/audit/sqlite"
)

// BenchmarkLog_Append: typical records of about 1 KB, appended one by one from one
// and from 64 callers, with shared commits and with a commit each.
func BenchmarkLog_Append(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, mode := range []struct {
			name     string
			maxBatch int
		}{{"grouped", 0}, {"ungrouped", 1}} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, mode.name), func(b *testing.B) {
				s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "a.db")})
				require.NoError(b, err)
				l, err := audit.Open(b.Context(), s, audit.Options{MaxBatch: mode.maxBatch})
				require.NoError(b, err)
				b.ResetTimer()
				var wg sync.WaitGroup
				for c := range callers {
					wg.Go(func() {
						for i := c; i < b.N; i += callers {
							if err := l.Append(context.Background(), audittest.Record(i)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
				require.NoError(b, l.Close())
			})
		}
	}
}

// BenchmarkHashOf is what verification spends on a record.
func BenchmarkHashOf(b *testing.B) {
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "a.db"), ReserveBytes: -1})
	require.NoError(b, err)
	l, err := audit.Open(b.Context(), s, audit.Options{})
	require.NoError(b, err)
	require.NoError(b, l.Append(b.Context(), audittest.Record(1)))
	var line []byte
	require.NoError(b, l.Scan(b.Context(), audit.Filter{}, func(st audit.Stored) error { line = st.JSON; return nil }))
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := audit.HashOf(line, nil); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, l.Close())
}
