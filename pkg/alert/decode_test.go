package alert_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/alert"
)

const firing = `{"status":"firing","labels":{"alertname":"A","job":"j"},"annotations":{},"startsAt":"2026-11-23T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/","fingerprint":"00a1b2c3d4e5f601"}`

func payload(alerts ...string) string {
	return `{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"r","alerts":[` + strings.Join(alerts, ",") + `]}`
}

func labelled(name, value string) string {
	return payload(fmt.Sprintf(`{"status":"firing","startsAt":"2026-11-23T10:00:00Z","labels":{%q:%q}}`, name, value))
}

func TestDecode_Refusals(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	many := make([]string, alert.MaxAlerts+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"status":"firing","startsAt":"2026-11-23T10:00:00Z","labels":{"i":"%d"}}`, i)
	}
	tests := []struct {
		name, body, code string
		status           int
		detail           string
	}{
		{"empty body", "", alert.CodeEmpty, 400, "the body is empty"},
		{"blank body", " \n\t", alert.CodeEmpty, 400, "the body is empty"},
		{"malformed", `{"version":"4",}`, alert.CodeMalformed, 400, "malformed JSON at byte 16"},
		{"cut off", `{"version":"4","alerts":[`, alert.CodeMalformed, 400, "unexpected end of JSON input"},
		{"form", "a=b", alert.CodeMalformed, 400, "malformed JSON at byte 1"},
		{"null", "null", alert.CodeNotObject, 400, "no object"},
		{"array", `[1]`, alert.CodeNotObject, 400, "no object"},
		{"string", `"x"`, alert.CodeNotObject, 400, "no object"},
		{"empty object", "{}", alert.CodeVersion, 400, "version is missing"},
		{"version 3", `{"version":"3","alerts":[]}`, alert.CodeVersion, 400, `version "3" is not supported`},
		{"version as a number", `{"version":4}`, alert.CodeType, 400, `field "version"`},
		{"only a version", `{"version":"4"}`, alert.CodeNoAlerts, 400, "no alerts"},
		{"no alerts", payload(), alert.CodeNoAlerts, 400, "no alerts"},
		{"null alerts", `{"version":"4","alerts":null}`, alert.CodeNoAlerts, 400, "no alerts"},
		{"null alert", payload("null"), alert.CodeStatus, 400, `alerts[0]: status ""`},
		{"alert status", payload(firing, strings.Replace(firing, "firing", "pending", 1)), alert.CodeStatus, 400, `alerts[1]: status "pending"`},
		{"group status", strings.Replace(payload(firing), `"status":"firing","receiver"`, `"status":"odd","receiver"`, 1), alert.CodeStatus, 400, `status "odd"`},
		{"no labels", payload(`{"status":"firing","startsAt":"2026-11-23T10:00:00Z","labels":{}}`), alert.CodeNoLabels, 400, "alerts[0]: no labels"},
		{"empty label name", labelled("", "x"), alert.CodeLabelName, 400, "alerts[0]"},
		{"label name of 1 MiB", labelled(long, "x"), alert.CodeLabelSize, 400, "alerts[0]: a label name of 1048576 bytes"},
		{"label value of 1 MiB", labelled("a", long), alert.CodeLabelSize, 400, `alerts[0]: label "a" has 1048576 bytes`},
		{"group label of 1 MiB", strings.Replace(payload(firing), `"receiver"`, `"groupLabels":{"a":"`+long+`"},"receiver"`, 1), alert.CodeLabelSize, 400, "group: label"},
		{"label as a number", payload(`{"status":"firing","labels":{"a":1}}`), alert.CodeType, 400, "want string"},
		{"firing without startsAt", payload(`{"status":"firing","labels":{"a":"b"}}`), alert.CodeStartsAt, 400, "alerts[0]: fires without a startsAt"},
		{"firing since year 1", payload(strings.Replace(firing, "2026-11-23", "0001-01-01", 1)), alert.CodeStartsAt, 400, "alerts[0]"},
		{"bad time", payload(strings.Replace(firing, "2026-11-23T", "yesterday ", 1)), alert.CodeTime, 400, "yesterday"},
		{"year 10000 in UTC", payload(strings.Replace(firing, "2026-11-23T10:00:00Z", "9999-12-31T23:00:00-05:00", 1)), alert.CodeTime, 400, "year 10000"},
		{"10,001 alerts", payload(many...), alert.CodeTooMany, 400, "more than 10000 alerts"},
		{"10,001 alerts under a folded name", strings.Replace(payload(many...), `"alerts"`, `"alertſ"`, 1), alert.CodeTooMany, 400, "more than 10000 alerts"},
		{"17 MiB", `{"x":"` + strings.Repeat("x", 17<<20) + `"}`, alert.CodeTooLarge, 413, "16777216 bytes"},
		{"invalid UTF-8", payload(strings.Replace(firing, `"j"`, "\"j\xff\"", 1)), alert.CodeUTF8, 400, "invalid UTF-8 at byte"},
		{"deep objects", `{"x":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat("}", 101), alert.CodeDepth, 400, "deeper than 32"},
		{"deep arrays", strings.Repeat("[", 100_000), alert.CodeDepth, 400, "deeper than 32"},
		{"a second document", payload(firing) + payload(firing), alert.CodeTrailing, 400, "data after the JSON document"},
		{"text after the document", payload(firing) + " x", alert.CodeTrailing, 400, "data after the JSON document"},
		{"alerts twice", `{"version":"4","alerts":[` + firing + `],"Alerts":[]}`, alert.CodeDuplicateKey, 400, `field "Alerts" is given twice`},
		{"alerts twice, once escaped", `{"version":"4","alerts":[` + firing + `],"\u0061lerts":[]}`, alert.CodeDuplicateKey, 400, `field "alerts" is given twice`},
		{"one alert, two states", payload(firing, strings.Replace(firing, "firing", "resolved", 1)), alert.CodeConflict, 400, "alerts[0] and alerts[1]"},
		{"one fingerprint, two label sets", payload(firing, strings.Replace(firing, `"j"`, `"k"`, 1)), alert.CodeConflict, 400, "00a1b2c3d4e5f601"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := alert.Decode([]byte(tt.body))
			require.Nil(t, n)
			var refused *alert.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.code, refused.Code, refused.Detail)
			require.Equal(t, tt.status, refused.Status)
			require.Contains(t, refused.Detail, tt.detail)
			require.Less(t, len(refused.Detail), 300, "the answer must not repeat what was sent")
		})
	}
}

// Real payloads: 0.25 lacks the two newer fields.
func TestDecode_VersionsOfAlertmanager(t *testing.T) {
	old := payload(firing)
	newer := strings.Replace(old, `"receiver":"r"`, `"receiver":"remediator\\.v1","notification_reason":"new_alerts","routeLabels":{"team":"sre"},"truncatedAlerts":7,"from_the_future":{"a":[1,{}]}`, 1)
	for _, body := range []string{old, newer} {
		n, err := alert.Decode([]byte(body))
		require.NoError(t, err)
		require.Len(t, n.Alerts, 1)
		require.True(t, alert.EndsAt(n.Alerts[0]).IsZero(), "year 1 is no end")
		require.Equal(t, "00a1b2c3d4e5f601", alert.Fingerprint(n.Alerts[0]))
	}
	n, err := alert.Decode([]byte(newer))
	require.NoError(t, err)
	require.Equal(t, "new_alerts", n.NotificationReason)
	require.Equal(t, "sre", n.RouteLabels["team"])
	require.Equal(t, `remediator\.v1`, n.Receiver)
	require.EqualValues(t, 7, n.TruncatedAlerts)
}

func TestDecode_SameAlertTwiceIsOne(t *testing.T) {
	n, err := alert.Decode([]byte(payload(firing, firing)))
	require.NoError(t, err)
	require.Len(t, n.Alerts, 1)
}

func TestDecode_ResolvedNeedsNoStart(t *testing.T) {
	n, err := alert.Decode([]byte(payload(`{"status":"resolved","labels":{"a":"b"},"endsAt":"2026-11-23T10:00:00Z"}`)))
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), alert.EndsAt(n.Alerts[0]))
	require.Len(t, alert.Fingerprint(n.Alerts[0]), 16, "computed where none was sent")
}

func TestDecode_TenThousandAlertsAndLongestLabelPass(t *testing.T) {
	n, err := alert.Decode(group(alert.MaxAlerts))
	require.NoError(t, err)
	require.Len(t, n.Alerts, alert.MaxAlerts)
	_, err = alert.Decode([]byte(labelled("a", strings.Repeat("x", alert.MaxLabelBytes))))
	require.NoError(t, err)
}

func TestRead_StopsAtTheLimit(t *testing.T) {
	body, err := alert.Read(strings.NewReader("{}"))
	require.NoError(t, err)
	require.Equal(t, "{}", string(body))

	endless := iotest.ErrReader(errors.New("read past the limit"))
	_, err = alert.Read(io.MultiReader(bytes.NewReader(make([]byte, alert.MaxBody+1)), endless))
	var refused *alert.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 413, refused.Status)

	_, err = alert.Read(iotest.ErrReader(errors.New("cut")))
	require.ErrorAs(t, err, &refused)
	require.Equal(t, alert.CodeUnreadable, refused.Code)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", `{"version":"4"}`, payload(firing), payload(firing, firing), `{"version":"4","alerts":[{}]}`, "[[[[", `{"a":"\"`, `}{`, "{\"\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := alert.Decode(body)
		if err != nil {
			var refused *alert.Error
			require.ErrorAs(t, err, &refused)
			require.Contains(t, []int{400, 413}, refused.Status)
			require.NotEmpty(t, refused.Code)
			return
		}
		require.NotEmpty(t, n.Alerts)
		require.LessOrEqual(t, len(n.Alerts), alert.MaxAlerts)
		for _, a := range n.Alerts {
			require.NotEmpty(t, a.Labels)
			require.NotEmpty(t, alert.Fingerprint(a))
			a.StartsAt = a.StartsAt.UTC()
			_, err := json.Marshal(a) // what is recorded later
			require.NoError(t, err)
		}
	})
}

func group(n int) []byte {
	alerts := make([]string, n)
	for i := range alerts {
		alerts[i] = fmt.Sprintf(`{"status":"firing","labels":{"alertname":"ServiceDown","job":"stellar-escrow-indexer","instance":"10.0.0.1:%d","severity":"critical"},"annotations":{"summary":"the indexer does not answer","runbook":"RB-002"},"startsAt":"2026-11-23T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus:9090/graph?g0.expr=up","fingerprint":"%016x"}`, i, i)
	}
	return []byte(payload(alerts...))
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 1000} {
		body := group(n)
		b.Run(fmt.Sprintf("%d alerts", n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := alert.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
