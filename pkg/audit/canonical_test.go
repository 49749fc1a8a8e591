package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
)

func TestSeal_IsSHA256OfTheCanonicalRecordWithoutItsHash(t *testing.T) {
	r := &Record{
		Seq: 7, Time: Time{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}, Type: StepFinished, Replica: "r-1", Prev: ZeroHash,
		Error: "<ä\u2028\x01>", Data: json.RawMessage(`{"b": 1.50, "a": 1e3, "hash": "inner", "\u20ac":"\/"}`),
	}
	line, err := seal(r, nil)
	require.NoError(t, err)
	// Written by hand from RFC 8785 and design §7.
	plain := `{"data":{"a":1000,"b":1.5,"hash":"inner","€":"/"},"error":"<ä` + "\u2028" + `\u0001>","prev":"` + strings.Repeat("0", 64) +
		`","replica":"r-1","seq":7,"time":"2026-01-02T03:04:05.000000006Z","type":"step.finished"}`
	sum := sha256.Sum256([]byte(plain))
	require.Equal(t, hex.EncodeToString(sum[:]), r.Hash)
	require.Equal(t, strings.Replace(plain, `,"prev"`, `,"hash":"`+r.Hash+`","prev"`, 1), string(line))

	mac := hmac.New(sha256.New, []byte("k"))
	mac.Write([]byte(plain))
	_, err = seal(r, []byte("k"))
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), r.Hash)
}

func TestSeal_TakesWhatIsOnlyNearlyJSON(t *testing.T) {
	for name, data := range map[string]string{
		"the same name twice": `{"a":1,"a":2}`, "half a surrogate pair": `{"a":"\ud800"}`, "broken UTF-8": "{\"a\":\"\xff\"}",
	} {
		t.Run(name, func(t *testing.T) {
			r := &Record{Seq: 1, Type: NotificationReceived, Data: json.RawMessage(data), Prev: ZeroHash}
			line, err := seal(r, nil)
			require.NoError(t, err)
			again, err := HashOf(line, nil)
			require.NoError(t, err)
			require.Equal(t, r.Hash, again)
		})
	}
	_, err := seal(&Record{Type: NotificationReceived, Data: json.RawMessage(`{"a":`)}, nil)
	require.ErrorContains(t, err, "notification.received: ")
}

// FuzzSeal: whatever is recorded has a canonical line that is stable, whose hash is
// recomputed from it, and that decodes to a record with the same line.
func FuzzSeal(f *testing.F) {
	f.Add("docker:local/api", "text \u2028 <&> \x00", `{"a":[1,2.5e-7,null,true,"\ud83d\ude00"]}`, int64(1_700_000_000_123_456_789), 3)
	f.Add("", "\xff\xfe", `{"a":1,"a":2}`, int64(-1), 0)
	f.Add("\"hash\":\"x\"", "}{", `[{"hash":"h","z":{}},[],"",12345678901234567890]`, int64(0), -1)
	f.Fuzz(func(t *testing.T, target, text, data string, ns int64, step int) {
		r := &Record{
			Seq: 1, Time: Time{time.Unix(0, ns).UTC()}, Type: CheckFinished, Replica: "r", Prev: ZeroHash, Target: target, Error: text, Step: &step,
			Reason: &Reason{Code: text, Text: target}, Targets: []string{target, text}, Alert: &template.Alert{Labels: template.KV{target: text}},
		}
		if json.Valid([]byte(data)) {
			r.Data = json.RawMessage(data)
		}
		line, err := seal(r, nil)
		if err != nil {
			return // no number of RFC 8785, or two labels that become one
		}
		canonical, err := jcs.Transform(line)
		require.NoError(t, err)
		require.True(t, bytes.Equal(canonical, line), "not canonical: %s", line)
		hash, err := HashOf(line, nil)
		require.NoError(t, err)
		require.Equal(t, r.Hash, hash)
		var back Record
		require.NoError(t, json.Unmarshal(line, &back))
		again, err := seal(&back, nil)
		require.NoError(t, err)
		require.Equal(t, string(line), string(again))
	})
}

// FuzzHashOf: a line from outside never makes verification fail in another way
// than with an error.
func FuzzHashOf(f *testing.F) {
	f.Add([]byte(`{"hash":"x","a":{"b":[1]}}`))
	f.Add([]byte(`{"a`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		hash, err := HashOf(line, nil)
		require.Equal(t, (err == nil), (len(hash) == 64))
	})
}
