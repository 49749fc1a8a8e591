package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/app"
	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/sqlite"
)

// recorded are the records of one alert that the daemon handled and that resolved.
func recorded(t *testing.T) []audit.Record {
	t.Helper()
	d := run(t, conf("live"))
	start := time.Now()
	text := firing("api-0", start)
	for i, body := range []string{text, strings.ReplaceAll(strings.Replace(text, "0001-01-01T00:00:00Z", start.Add(time.Minute).UTC().Format(time.RFC3339), 1), `"firing"`, `"resolved"`)} {
		status, answer := d.post(body)
		require.Equal(t, 200, status, answer)
		if i == 0 {
			d.happened(1)
		}
	}
	require.Eventually(t, func() bool { return d.status().OpenEpisodes == 0 }, 10*time.Second, 5*time.Millisecond)
	var out []audit.Record
	for line := range bytes.SplitSeq([]byte(strings.TrimSpace(d.ok("/api/v1/audit"))), []byte("\n")) {
		var r audit.Record
		require.NoError(t, json.Unmarshal(line, &r))
		if !strings.HasPrefix(string(r.Type), "daemon.") && !strings.HasPrefix(string(r.Type), "config.") {
			out = append(out, r)
		}
	}
	return out
}

// repeated writes the records of one alert to a new store until it holds n, each
// time as those of another alert, minutes apart.
func repeated(t *testing.T, path string, one []audit.Record, n int) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.NoError(t, err)
	log, err := audit.Open(t.Context(), store, audit.Options{})
	require.NoError(t, err)
	text, err := json.Marshal(one)
	require.NoError(t, err)
	begin := time.Now().Add(-time.Duration(n/len(one)) * 10 * time.Minute)
	var batch []*audit.Record
	for i := 0; i*len(one) < n; i++ {
		own := string(text)
		for _, r := range one {
			if r.Remediation != "" {
				own = strings.ReplaceAll(own, r.Remediation, fmt.Sprintf("rem-%d", i))
			}
			if r.Episode != "" {
				own = strings.ReplaceAll(own, r.Episode, fmt.Sprintf("ep-%d", i))
			}
			if r.Alert != nil {
				own = strings.ReplaceAll(own, r.Alert.Fingerprint, fmt.Sprintf("%016x", i))
			}
		}
		var copies []*audit.Record
		require.NoError(t, json.Unmarshal([]byte(own), &copies))
		for _, r := range copies {
			r.Data = renumbered(t, r.Data, one, i*len(one)+1)
			r.Time = audit.Time{Time: begin.Add(time.Duration(i) * 10 * time.Minute)}
		}
		if batch = append(batch, copies...); len(batch) > 5000 {
			require.NoError(t, log.Append(context.Background(), batch...))
			batch = nil
		}
	}
	if len(batch) > 0 {
		require.NoError(t, log.Append(context.Background(), batch...))
	}
	require.NoError(t, log.Close())
}

// renumbered is the data of a record with the notification that it came from among
// the records from seq first on.
func renumbered(t *testing.T, data json.RawMessage, one []audit.Record, first int) json.RawMessage {
	t.Helper()
	var fields map[string]any
	if len(data) == 0 {
		return data
	}
	require.NoError(t, json.Unmarshal(data, &fields))
	old, ok := fields["notification"].(float64)
	if !ok {
		return data
	}
	at := slices.IndexFunc(one, func(r audit.Record) bool { return r.Seq == uint64(old) })
	require.GreaterOrEqual(t, at, 0, "notification %v", old)
	fields["notification"] = first + at
	return audit.JSON(fields)
}

// A start reads all of history. A year of a busy site must not keep it from
// taking notifications for long. With REMEDIATOR_SOAK it is ten times as long.
func TestSoak_StartReadsALongHistoryInSeconds(t *testing.T) {
	records := 10_000
	if os.Getenv("REMEDIATOR_SOAK") != "" {
		records *= 10
	}
	one := recorded(t)
	path := file(t, conf("live"))
	repeated(t, filepath.Join(filepath.Dir(path), "data", "remediator.db"), one, records)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	o, logs := options(path)
	begin := time.Now()
	a, err := app.Start(t.Context(), o)
	took := time.Since(begin)
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	read := logs.FilterMessage("history read").All()
	require.Len(t, read, 1)
	require.GreaterOrEqual(t, read[0].ContextMap()["records"], int64(records))
	t.Logf("%d records: started in %s, %d MiB of heap", records, took, heap>>20)
	require.NoError(t, a.Stop(t.Context()))
	require.Less(t, took, 30*time.Second)
	require.Less(t, heap, int64(512<<20))
}
