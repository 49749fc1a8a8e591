package audittest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
)

// many is more than a driver may read at a time.
const many = 1300

func filters(t *testing.T, s Suite) {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	l := s.log(t, s.New(t), audit.Options{})
	var batch []*audit.Record
	for i := range many {
		r := Record(i)
		r.Time = audit.Time{Time: start.Add(time.Duration(i/2) * time.Second)} // two share a time
		if i == 3 {
			r.Type, r.Alert, r.Target, r.Targets, r.Policy = audit.DaemonStarted, nil, "", nil, ""
		}
		batch = append(batch, r)
	}
	require.NoError(t, l.Append(t.Context(), batch...))
	seconds := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name string
		f    audit.Filter
		want []uint64 // nil: all
		n    int
	}{
		{name: "everything", n: many},
		{name: "since is inclusive, until exclusive", f: audit.Filter{Since: seconds(1), Until: seconds(2)}, want: []uint64{3, 4}},
		{name: "until alone", f: audit.Filter{Until: seconds(1)}, want: []uint64{1, 2}},
		{name: "after a seq", f: audit.Filter{AfterSeq: many - 2}, want: []uint64{many - 1, many}},
		{name: "after a seq of a replica", f: audit.Filter{AfterSeq: many - 2, Replica: l.Replica()}, want: []uint64{many - 1, many}},
		{name: "after a seq of a replica, all pages", f: audit.Filter{AfterSeq: 1, Replica: l.Replica()}, n: many - 1},
		{name: "another replica", f: audit.Filter{Replica: "other"}, want: []uint64{}},
		{name: "incident", f: audit.Filter{Incident: "i-0", Limit: 3}, want: []uint64{1, 2, 3}},
		{name: "remediation", f: audit.Filter{Remediation: "r-1"}, want: []uint64{6, 7, 8, 9, 10}},
		{name: "policy", f: audit.Filter{Policy: "RB-002-indexer-down"}, n: many - 1},
		{name: "alertname", f: audit.Filter{Alert: "ServiceDown"}, n: many / 2},
		{name: "fingerprint", f: audit.Filter{Alert: "0000000000000004"}, want: []uint64{5}},
		{name: "episode", f: audit.Filter{Alert: "e-3"}, want: []uint64{4}},
		{name: "target", f: audit.Filter{Target: "docker:local/s1", Limit: 2}, want: []uint64{2, 6}},
		{name: "target in the list", f: audit.Filter{Target: "docker:local/all"}, n: many - 1},
		{name: "a part of a target is not it", f: audit.Filter{Target: "docker:local"}, want: []uint64{}},
		{name: "type", f: audit.Filter{Types: []audit.Type{audit.DaemonStarted, audit.StepStarted}}, want: []uint64{4}},
		{name: "types", f: audit.Filter{Types: []audit.Type{audit.DaemonStarted, audit.CheckFinished}}, n: many},
		{name: "limit", f: audit.Filter{Limit: 2}, want: []uint64{1, 2}},
		{name: "a limit of several pages", f: audit.Filter{Limit: many - 1}, n: many - 1},
		{name: "newest first", f: audit.Filter{Reverse: true, Limit: 3}, want: []uint64{many, many - 1, many - 2}},
		{name: "newest first after a seq", f: audit.Filter{Reverse: true, AfterSeq: many - 2, Replica: l.Replica()}, want: []uint64{many, many - 1}},
		{name: "newest first, all pages", f: audit.Filter{Reverse: true}, n: many},
		{name: "several at once", f: audit.Filter{Remediation: "r-1", Target: "docker:local/s1", Alert: "DiskFull"}, want: []uint64{6, 10}},
		{name: "a quote is only a character", f: audit.Filter{Incident: "' or 1=1 --"}, want: []uint64{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := []uint64{}
			for _, st := range collect(t, l, c.f) {
				if n := len(got); n > 0 {
					require.Equal(t, c.f.Reverse, st.Record.Seq < got[n-1], "in order: %d, %d", got[n-1], st.Record.Seq)
				}
				got = append(got, st.Record.Seq)
			}
			if c.want == nil {
				require.Len(t, got, c.n)
				return
			}
			require.Equal(t, c.want, got)
		})
	}
}
