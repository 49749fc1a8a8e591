package audit

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFilterFromValues(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	v, err := url.ParseQuery("since=2h&until=2026-05-01T11:30:00%2B01:00&incident=i&alert=a&target=docker:local/api&type=alert.firing,alert.resolved&type=step.started" +
		"&policy=p&remediation=r&after=7&limit=3&replica=x")
	require.NoError(t, err)
	got, err := FilterFromValues(v, now)
	require.NoError(t, err)
	require.True(t, got.Until.Equal(now.Add(-90*time.Minute)))
	got.Until = time.Time{}
	require.Equal(t, Filter{
		Since: now.Add(-2 * time.Hour), Incident: "i", Alert: "a", Target: "docker:local/api", Policy: "p", Remediation: "r",
		Types: []Type{AlertFiring, AlertResolved, StepStarted}, AfterSeq: 7, Limit: 3, Replica: "x",
	}, got)

	got, err = FilterFromValues(nil, now)
	require.NoError(t, err)
	require.Equal(t, Filter{}, got)

	for query, want := range map[string]string{
		"tagret=x":                 `unknown filter "tagret": want one of since, until, incident, alert, target, type, policy, remediation, after, limit, replica`,
		"since=yesterday":          `since "yesterday": want a time such as 2026-01-31T03:00:00Z, or a duration such as 2h for that long ago`,
		"until=1.5h":               `until "1.5h": want a time`,
		"after=-1":                 `after "-1": want a sequence number`,
		"limit=0":                  `limit "0": want a number from 1`,
		"limit=x":                  `limit "x": want a number from 1`,
		"type=alert.fired":         `type "alert.fired": no such type of record`,
		"incident=a&incident=b":    `incident: given 2 times, want one`,
		"since=1h&until=2h":        `since is not before until: nothing can match`,
		"until=1h&since=1h":        `since is not before until: nothing can match`,
		"type=alert.firing,,nope.": `type "nope.": no such type of record`,
	} {
		v, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, err = FilterFromValues(v, now)
		require.ErrorContains(t, err, want, query)
	}
}
