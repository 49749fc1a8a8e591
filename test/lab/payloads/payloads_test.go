package payloads_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stellarescrow/remediator/test/lab"
	"github.com/stellarescrow/remediator/test/lab/payloads"
)

var update = flag.Bool("update", false, "record the payloads of 0.25 again and derive those of later versions")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scenes are lists of statuses that one notification shall hold, by name.
var scenes = map[string][]string{
	"firing":              {"firing", "firing"},
	"firing-and-resolved": {"firing", "resolved"},
	"resolved":            {"resolved", "resolved"},
}

// record drives a real Alertmanager through a group of two instances and
// answers the notifications by scene.
func record(t *testing.T) map[string][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := lab.New(t)
	receiver, err := l.Receiver(ctx)
	require.NoError(t, err)
	am, err := l.Alertmanager(ctx, lab.AlertmanagerSpec{WebhookURL: receiver.URL, Receiver: "stellarescrow.remediator"})
	require.NoError(t, err)
	first, second := lab.ServiceDown("stellar-escrow-indexer", "high"), lab.ServiceDown("postgres", "high")
	require.NoError(t, am.Post(ctx, first, second))
	recorded := map[string][]byte{"firing": await(ctx, t, receiver, "firing")}
	require.NoError(t, am.Resolve(ctx, second))
	recorded["firing-and-resolved"] = await(ctx, t, receiver, "firing-and-resolved")
	// A resolved alert is forgotten once its group was flushed: it comes back
	// first, so that both resolve together.
	require.NoError(t, am.Post(ctx, first, second))
	await(ctx, t, receiver, "firing", len(receiverCalls(ctx, t, receiver)))
	require.NoError(t, am.Resolve(ctx, first, second))
	recorded["resolved"] = await(ctx, t, receiver, "resolved")
	return recorded
}

func receiverCalls(ctx context.Context, t *testing.T, r *lab.Receiver) []lab.Call {
	t.Helper()
	calls, err := r.Wait(ctx, 0)
	require.NoError(t, err)
	return calls
}

// await reads on, from the given call, until a notification holds the scene's
// statuses.
func await(ctx context.Context, t *testing.T, receiver *lab.Receiver, scene string, from ...int) []byte {
	t.Helper()
	n := 1
	if len(from) > 0 {
		n = from[0] + 1
	}
	for ; ; n++ {
		calls, err := receiver.Wait(ctx, n)
		require.NoError(t, err)
		var data template.Data
		require.NoError(t, json.Unmarshal(calls[n-1].Body, &data))
		var statuses []string
		for _, a := range data.Alerts {
			statuses = append(statuses, a.Status)
		}
		slices.Sort(statuses)
		if slices.Equal(statuses, scenes[scene]) {
			return calls[n-1].Body
		}
	}
}

func TestPayloads_AreAsTheRealAlertmanagerSendsThem(t *testing.T) {
	recorded := record(t)
	if *update {
		write(t, recorded)
		return // what is embedded is older
	}
	for scene, body := range recorded {
		require.Equal(t, shape(t, body), shape(t, payloads.Get("am-0.25-"+scene)), scene)
	}
}

func TestPayloads_DecodeIntoTheModulesTypes(t *testing.T) {
	require.Len(t, payloads.Names(), 9)
	for _, name := range payloads.Names() {
		var data template.Data
		require.NoError(t, json.Unmarshal(payloads.Get(name), &data), name)
		require.Len(t, data.Alerts, 2, name)
		later := !strings.HasPrefix(name, "am-0.25-")
		require.Equal(t, later, data.NotificationReason != "", name)
		require.Equal(t, strings.HasPrefix(name, "am-0.34-"), data.RouteLabels["team"] == "platform", name)
		for _, a := range data.Alerts {
			require.Equal(t, a.Status == "firing", a.EndsAt.Year() == 1, name)
		}
	}
}

// shape is the JSON with each value replaced by its kind.
func shape(t *testing.T, body []byte) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(body, &v))
	return kinds(v)
}

func kinds(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = kinds(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = kinds(value)
		}
		return out
	case string:
		return "string"
	case float64:
		return "number"
	}
	return v
}

// reasons of 0.32 and later for the scenes.
var reasons = map[string]string{
	"firing": "first notification", "firing-and-resolved": "some alerts resolved", "resolved": "all alerts resolved",
}

func write(t *testing.T, recorded map[string][]byte) {
	t.Helper()
	for scene, body := range recorded {
		var plain bytes.Buffer
		require.NoError(t, json.Indent(&plain, bytes.TrimSpace(body), "", "  "))
		plain.WriteByte('\n')
		require.NoError(t, os.WriteFile("am-0.25-"+scene+".json", plain.Bytes(), 0o600))
		for version, added := range map[string]map[string]any{
			"0.32": {"notification_reason": reasons[scene]},
			"0.34": {
				"notification_reason": reasons[scene], "routeLabels": map[string]any{"team": "platform"},
			},
		} {
			var message map[string]any
			require.NoError(t, json.Unmarshal(body, &message))
			maps.Copy(message, added)
			var text bytes.Buffer
			encoder := json.NewEncoder(&text)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			require.NoError(t, encoder.Encode(message))
			require.NoError(t, os.WriteFile("am-"+version+"-"+scene+".json", text.Bytes(), 0o600))
		}
	}
}
