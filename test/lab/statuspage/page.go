// Package statuspage is a scripted stand-in of an Atlassian Statuspage: it
// serves /api/v2/summary.json in the real one's shape, with an ETag, and moves
// from scene to scene as a test says.
package statuspage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Components of the page: Stellar's, with the name that repeats in two groups.
const (
	PublicNetwork = "Stellar Public Network"
	PublicHorizon = "SDF Public Network Horizon"
	TestNetwork   = "Stellar Test Network"
	TestHorizon   = "SDF Test Network Horizon"
)

// Scene is what the page answers until the next Show. The zero value is all
// operational.
type Scene struct {
	// Incident is its status: investigating, identified, monitoring; empty or
	// resolved: there is none, as summary.json holds unresolved ones only.
	Incident string
	// Impact of the incident: none, minor, major (default), critical.
	Impact string
	// Components that the incident concerns; nil is PublicHorizon, empty is none:
	// people of a page may leave them out.
	Components []string
	// ComponentStatus of those; default major_outage, in monitoring operational.
	ComponentStatus string
	// Maintenance is its status: scheduled, in_progress, verifying.
	Maintenance string

	// Flaps: every second answer, from the second on, is that all is operational.
	Flaps bool

	// Fault answers otherwise: "500", "hang" (until the client gives up),
	// "html", "truncated", "redirect" (302 to a login page), "inactive" (302 to
	// another host, as when a page was switched off), "401".
	Fault string
}

// Page is an http.Handler; serve it with httptest.NewServer.
type Page struct {
	mu        sync.Mutex
	scene     Scene     // guarded by mu
	changed   time.Time // guarded by mu; updated_at of everything
	started   time.Time // guarded by mu; created_at of the incident
	shown     int       // guarded by mu; answers of the scene
	requests  int       // guarded by mu
	unchanged int       // guarded by mu; answered with 304
}

// New answers a page on which all is operational at now.
func New(now time.Time) *Page { return &Page{changed: now.UTC()} }

// Show moves to the scene at that time. An incident keeps its beginning from
// its first scene to the last.
func (p *Page) Show(s Scene, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.scene.open() && s.open() {
		p.started = now.UTC()
	}
	p.scene, p.changed, p.shown = s, now.UTC(), 0
}

// Requests counts all requests, and those that the ETag answered with 304.
func (p *Page) Requests() (all, unchanged int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests, p.unchanged
}

func (s Scene) open() bool { return s.Incident != "" && s.Incident != "resolved" }

// ServeHTTP serves /api/v2/summary.json; all else is not found.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v2/summary.json" {
		http.NotFound(w, r)
		return
	}
	p.mu.Lock()
	p.requests++
	p.shown++
	scene := p.scene
	if scene.Flaps && p.shown%2 == 0 {
		scene = Scene{}
	}
	body, err := json.Marshal(summary(scene, p.changed, p.started))
	p.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if scene.Fault != "" {
		fault(w, r, scene.Fault, body)
		return
	}
	sum := sha256.Sum256(body)
	tag := `W/"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
	if r.Header.Get("If-None-Match") == tag {
		p.mu.Lock()
		p.unchanged++
		p.mu.Unlock()
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, "application/json; charset=utf-8", http.StatusOK, body)
}

func fault(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	switch name {
	case "hang":
		<-r.Context().Done()
	case "html":
		send(w, "text/html", http.StatusOK, []byte("<!DOCTYPE html><title>We'll be back</title>"))
	case "truncated":
		send(w, "application/json; charset=utf-8", http.StatusOK, body[:len(body)/2])
	case "redirect":
		http.Redirect(w, r, "/access/login", http.StatusFound)
	case "inactive":
		http.Redirect(w, r, "https://statuspage.invalid/inactive", http.StatusFound)
	case "401":
		send(w, "text/plain", http.StatusUnauthorized, []byte("HTTP Basic: Access denied."))
	default:
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

func send(w http.ResponseWriter, kind string, status int, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}
