package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/audit/audittest"
)

// damaged is a copy of a store at rest, changed by one statement.
func damaged(t *testing.T, body []byte, statement string) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	require.NoError(t, os.WriteFile(path, body, 0o600))
	s, err := Open(t.Context(), Options{Path: path, ReserveBytes: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	res, err := s.writer.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.NotZero(t, n, "the statement changes something")
	return s
}

func TestVerify_NamesWhatWasChangedInAStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "a.db"), Replica: "r", ReserveBytes: -1})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, audit.Options{})
	require.NoError(t, err)
	for i := range 10 {
		require.NoError(t, l.Append(t.Context(), audittest.Record(i)))
	}
	head := l.Head()
	require.NoError(t, l.Close())
	body, err := os.ReadFile(filepath.Join(dir, "a.db"))
	require.NoError(t, err)

	for name, c := range map[string]struct {
		sql  string
		want []string
	}{
		"one byte":             {"update records set json = cast(replace(json, '10.0.0.4:', '10.0.0.5:') as blob) where seq = 5", []string{"r 5 was changed"}},
		"one removed":          {"delete from records where seq = 3", []string{"r 3 is missing: after 2 comes 4"}},
		"the tail cut":         {"delete from records where seq > 8", []string{"r 9 is missing: the tail was cut, the exported head is 10"}},
		"all removed":          {"delete from records", []string{"r 1 is missing: the tail was cut"}},
		"no JSON":              {"update records set json = x'7b' where seq = 5", []string{"r 5 cannot be read"}},
		"bodies swapped":       {"update records set json = o.json from (select seq, json from records where seq in (5, 6) order by seq limit 2) o where o.seq = 11 - records.seq", []string{"r 5 is another record's place: it says it is r 6", "r 6 is another record's place: it says it is r 5"}},
		"one in another place": {"update records set seq = 50 where seq = 5", []string{"r 5 is missing: after 4 comes 6", "r 50 is another record's place: it says it is r 5", "r 11 is missing, and so are those up to 49"}},
		"a hidden target":      {"delete from record_targets where seq = 5 and target = 'docker:local/all'", []string{"r 5 is filed wrongly, filters may miss it: targets"}},
		"a moved target":       {"update record_targets set time_ns = time_ns + 1 where seq = 5 and target = 'docker:local/all'", []string{"r 5 is filed wrongly, filters may miss it: targets"}},
		"a moved time":         {"update records set time_ns = 1 where seq = 5", []string{"r 5 is filed wrongly, filters may miss it: time, targets"}},
		"hidden from filters":  {"update records set incident = '', remediation = 'x', type = 'y' where seq = 5", []string{"r 5 is filed wrongly, filters may miss it: type, incident, remediation"}},
		"hidden alert":         {"update records set fingerprint = '', alertname = '', episode = '', policy = '', target = '' where seq = 5", []string{"r 5 is filed wrongly, filters may miss it: policy, episode, target, fingerprint, alertname"}},
	} {
		t.Run(name, func(t *testing.T) {
			faults, _, err := audit.Verify(t.Context(), damaged(t, body, c.sql), audit.Filter{}, audit.VerifyOptions{Heads: []audit.Head{head}})
			require.NoError(t, err)
			require.Len(t, faults, len(c.want), "%v", faults)
			for i, want := range c.want {
				require.True(t, strings.HasPrefix(faults[i].String(), want), "%q, want %q", faults[i], want)
			}
		})
	}
}

func TestVerify_NamesAByteChangedInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s, err := Open(t.Context(), Options{Path: path, Replica: "r", ReserveBytes: -1})
	require.NoError(t, err)
	l, err := audit.Open(t.Context(), s, audit.Options{})
	require.NoError(t, err)
	for i := range 200 { // more than the start looks at
		r := audittest.Record(i)
		r.Data = audit.JSON(map[string]string{"log": "line of " + r.Episode + "."})
		require.NoError(t, l.Append(t.Context(), r))
	}
	require.NoError(t, l.Close())
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(body, []byte("line of e-41."))
	require.Positive(t, at)
	body[at] ^= 1
	require.NoError(t, os.WriteFile(path, body, 0o600))
	ro, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	require.NoError(t, err)
	defer ro.Close()
	faults, sum, err := audit.Verify(t.Context(), ro, audit.Filter{}, audit.VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, 200, sum.Records)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].String(), "r 42 was changed")
}

func TestStore_FiltersUseTheirIndexes(t *testing.T) {
	s, l := openOn(t, t.TempDir(), -1)
	require.NoError(t, l.Append(t.Context(), audittest.Record(1)))
	for name, c := range map[string]struct {
		f    audit.Filter
		want string
	}{
		"everything":  {audit.Filter{}, "INDEX records_time"},
		"remediation": {audit.Filter{Remediation: "r"}, "INDEX records_remediation"},
		"incident":    {audit.Filter{Incident: "i"}, "INDEX records_incident"},
		"policy":      {audit.Filter{Policy: "p"}, "INDEX records_policy"},
		"alert":       {audit.Filter{Alert: "a"}, "INDEX records_fingerprint"},
		"target":      {audit.Filter{Target: "t"}, "PRIMARY KEY (target=?"},
		"type":        {audit.Filter{Types: []audit.Type{audit.StepStarted}}, "INDEX records_type"},
		"following":   {audit.Filter{Replica: "r", AfterSeq: 5}, "INDEX sqlite_autoindex_records_1 (replica=? AND seq>?)"},
	} {
		t.Run(name, func(t *testing.T) {
			query, args := selection(c.f, 1, nil, 0)
			rows, err := s.reader.QueryContext(t.Context(), "explain query plan "+query, args...)
			require.NoError(t, err)
			defer rows.Close()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var detail string
				require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
				plan = append(plan, detail)
			}
			require.NoError(t, rows.Err())
			require.Contains(t, strings.Join(plan, "\n"), c.want)
		})
	}
}
