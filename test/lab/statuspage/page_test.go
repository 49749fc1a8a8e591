package statuspage_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/test/lab/statuspage"
)

type answer struct {
	Status     struct{ Indicator string }
	Components []struct{ Name, Status string }
	Incidents  []struct {
		Status, Impact string
		Created        time.Time `json:"created_at"`
		Components     []struct{ Name string }
	}
	Maintenances []struct{ Status string } `json:"scheduled_maintenances"`
}

func get(t *testing.T, page *statuspage.Page, tag string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v2/summary.json", http.NoBody)
	r.Header.Set("If-None-Match", tag)
	page.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, page *statuspage.Page) answer {
	t.Helper()
	resp := get(t, page, "")
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var a answer
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&a))
	return a
}

func TestPage_AnIncidentFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	page := statuspage.New(start)
	a := read(t, page)
	require.Equal(t, "none", a.Status.Indicator)
	require.Empty(t, a.Incidents)
	for i, status := range []string{"investigating", "identified", "monitoring"} {
		page.Show(statuspage.Scene{Incident: status}, start.Add(time.Duration(i+1)*time.Minute))
		a = read(t, page)
		require.Equal(t, "major", a.Status.Indicator)
		require.Equal(t, status, a.Incidents[0].Status)
		require.Equal(t, start.Add(time.Minute), a.Incidents[0].Created)
		require.Equal(t, statuspage.PublicHorizon, a.Incidents[0].Components[0].Name)
		for _, c := range a.Components {
			hit := c.Name == statuspage.PublicHorizon && status != "monitoring"
			require.Equal(t, map[bool]string{true: "major_outage", false: "operational"}[hit], c.Status, c.Name)
		}
	}
	page.Show(statuspage.Scene{Incident: "resolved"}, start.Add(time.Hour))
	require.Empty(t, read(t, page).Incidents)
	page.Show(statuspage.Scene{Maintenance: "in_progress"}, start.Add(2*time.Hour))
	a = read(t, page)
	require.Equal(t, "maintenance", a.Status.Indicator)
	require.Equal(t, "in_progress", a.Maintenances[0].Status)
}

func TestPage_FlapsAndNamesNoComponent(t *testing.T) {
	t.Parallel()
	page := statuspage.New(time.Unix(0, 0))
	page.Show(statuspage.Scene{Incident: "identified", Components: []string{}, Flaps: true}, time.Unix(60, 0))
	for i, n := range []int{1, 0, 1, 0} {
		a := read(t, page)
		require.Len(t, a.Incidents, n, "answer %d", i)
		if n == 0 {
			continue
		}
		require.NotNil(t, a.Incidents[0].Components, "an empty list, as the real page has it")
		require.Empty(t, a.Incidents[0].Components)
		for _, c := range a.Components {
			require.Equal(t, "operational", c.Status)
		}
	}
}

func TestPage_AnswersNotModified(t *testing.T) {
	t.Parallel()
	page := statuspage.New(time.Unix(0, 0))
	resp := get(t, page, "")
	require.NoError(t, resp.Body.Close())
	again := get(t, page, resp.Header.Get("ETag"))
	require.NoError(t, again.Body.Close())
	require.Equal(t, http.StatusNotModified, again.StatusCode)
	page.Show(statuspage.Scene{Incident: "identified"}, time.Unix(60, 0))
	again = get(t, page, resp.Header.Get("ETag"))
	require.NoError(t, again.Body.Close())
	require.Equal(t, http.StatusOK, again.StatusCode)
	all, unchanged := page.Requests()
	require.Equal(t, []int{3, 1}, []int{all, unchanged})
}

func TestPage_Faults(t *testing.T) {
	t.Parallel()
	page := statuspage.New(time.Unix(0, 0))
	for fault, status := range map[string]int{"500": 500, "html": 200, "truncated": 200, "redirect": 302, "inactive": 302, "401": 401} {
		page.Show(statuspage.Scene{Fault: fault}, time.Unix(0, 0))
		resp := get(t, page, "")
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, fault)
		require.False(t, json.Valid(body), fault)
	}
	page.Show(statuspage.Scene{Fault: "hang"}, time.Unix(0, 0))
	server := httptest.NewServer(page)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v2/summary.json", http.NoBody)
	require.NoError(t, err)
	resp, err := server.Client().Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
