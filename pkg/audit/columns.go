package audit

import (
	"context"
	"slices"

	"github.com/stellarescrow/remediator/pkg/alert"
)

// Columns is what a store files a record under, so that filters find it. It is
// always derived from the record: ColumnsOf.
type Columns struct {
	Replica     string
	Seq         uint64
	TimeNS      int64 // Unix time in nanoseconds
	Type        string
	Incident    string
	Remediation string
	Policy      string
	Episode     string
	Target      string
	Fingerprint string
	Alertname   string
	// Targets is Target and the record's targets, sorted, each once.
	Targets []string
}

// ColumnsOf derives the columns of a record.
func ColumnsOf(r *Record) Columns {
	c := Columns{
		Replica: r.Replica, Seq: r.Seq, TimeNS: r.Time.UnixNano(), Type: string(r.Type), Incident: r.Incident,
		Remediation: r.Remediation, Policy: r.Policy, Episode: r.Episode, Target: r.Target, Targets: slices.Clone(r.Targets),
	}
	if r.Alert != nil {
		c.Fingerprint, c.Alertname = alert.Fingerprint(*r.Alert), r.Alert.Labels["alertname"]
	}
	if r.Target != "" {
		c.Targets = append(c.Targets, r.Target)
	}
	slices.Sort(c.Targets)
	c.Targets = slices.Compact(c.Targets)
	return c
}

// differs names the columns in which c and o are not the same.
func (c Columns) differs(o Columns) []string {
	var names []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"replica", c.Replica == o.Replica},
		{"seq", c.Seq == o.Seq},
		{"time", c.TimeNS == o.TimeNS},
		{"type", c.Type == o.Type},
		{"incident", c.Incident == o.Incident},
		{"remediation", c.Remediation == o.Remediation},
		{"policy", c.Policy == o.Policy},
		{"episode", c.Episode == o.Episode},
		{"target", c.Target == o.Target},
		{"fingerprint", c.Fingerprint == o.Fingerprint},
		{"alertname", c.Alertname == o.Alertname},
		{"targets", slices.Equal(c.Targets, o.Targets)},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}

// Indexed is a store that can say what its columns hold. A changed column hides a
// record from filters without touching its JSON, so Verify compares them.
type Indexed interface {
	// ScanIndexed calls fn for each record in (replica, seq) order, in one
	// consistent view: of one replica or, with "", of all; only seq > after.
	ScanIndexed(ctx context.Context, replica string, after uint64, fn func(Stored, Columns) error) error
}
