package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// gate decides who may ask. access.Guard is the one of TCP, peerGate that of
// the control socket.
type gate interface {
	Authorize(r *http.Request, need access.Need) (access.Identity, error)
	RequireContentType() bool
}

// endpoint is one handler. An error it returns is the answer, so it must not
// have written anything by then.
type endpoint func(w http.ResponseWriter, r *http.Request, who access.Identity) error

// api holds what the endpoints share.
type api struct {
	Deps
	metrics *metrics
	closing <-chan struct{} // closed when the server shuts down: streams end
	origin  *http.CrossOriginProtection
}

// routes is the router, and the one place that lists endpoints with what they
// need of their caller.
func (a *api) routes(g gate) http.Handler {
	r := chi.NewRouter()
	r.Use(a.observe, a.recoverPanic)
	on := func(need access.Need, e endpoint) http.HandlerFunc { return a.wrap(g, need, e) }

	r.Post("/", on(access.Webhook, a.webhook))
	r.Post("/webhook", on(access.Webhook, a.webhook))

	r.Get("/-/healthy", on(access.Open, a.healthy))
	r.Get("/-/ready", on(access.Open, a.ready))
	r.Head("/-/healthy", on(access.Open, a.healthy))
	r.Head("/-/ready", on(access.Open, a.ready))
	r.Post("/-/reload", on(access.Control, a.reload))
	if a.Metrics != nil {
		r.Get("/metrics", on(access.View, a.showMetrics))
	}

	r.Get("/api/v1/status", on(access.View, a.status))
	r.Get("/api/v1/remediations", on(access.View, a.remediations))
	r.Get("/api/v1/remediations/{id}", on(access.View, a.remediation))
	r.Get("/api/v1/alerts", on(access.View, a.alerts))
	r.Get("/api/v1/policies", on(access.View, a.policies))
	r.Get("/api/v1/upstreams", on(access.View, a.upstreams))
	r.Get("/api/v1/audit", on(access.View, a.audit))
	r.Get("/api/v1/openapi.yaml", on(access.View, a.openAPI))

	r.Post("/api/v1/pause", on(access.Control, a.pause))
	r.Post("/api/v1/resume", on(access.Control, a.resume))
	r.Post("/api/v1/clear", on(access.Control, a.clear))
	r.Post("/api/v1/plan", on(access.Control, a.plan))
	r.Post("/api/v1/remediations", on(access.Control, a.run))
	r.Post("/api/v1/remediations/{id}/approve", on(access.Control, a.approve))
	r.Post("/api/v1/remediations/{id}/reject", on(access.Control, a.reject))
	r.Post("/api/v1/remediations/{id}/resume", on(access.Control, a.resumeHeld))
	r.Post("/api/v1/remediations/{id}/cancel", on(access.Control, a.cancel))

	r.NotFound(on(access.Open, notFound))
	r.MethodNotAllowed(on(access.Open, methodNotAllowed(r)))
	return r
}

// wrap makes an endpoint an http.Handler: who asks is settled before anything of
// the request is used, and its error becomes the answer.
func (a *api) wrap(g gate, need access.Need, e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.enter(g, need, e, w, r); err != nil {
			a.fail(w, r, err)
		}
	}
}

func (a *api) enter(g gate, need access.Need, e endpoint, w http.ResponseWriter, r *http.Request) error {
	who, err := g.Authorize(r, need)
	if err != nil {
		return err
	}
	note(r, who)
	if need == access.Open {
		return e(w, r, who)
	}
	// A browser sends basic auth and certificates by itself, so a page from
	// elsewhere must not be able to post with them.
	if err := a.origin.Check(r); err != nil {
		return problem.New(http.StatusForbidden, "cross_origin", "a page of another origin asked for this")
	}
	if err := checkContentType(g, r); err != nil {
		return err
	}
	return e(w, r, who)
}

func notFound(_ http.ResponseWriter, r *http.Request, _ access.Identity) error {
	return problem.New(http.StatusNotFound, "not_found", "there is nothing at %s", clip(r.URL.Path))
}

// methodNotAllowed names the methods that the path does know.
func methodNotAllowed(routes chi.Routes) endpoint {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	return func(_ http.ResponseWriter, r *http.Request, _ access.Identity) error {
		allowed := slices.DeleteFunc(slices.Clone(methods), func(m string) bool {
			return !routes.Match(chi.NewRouteContext(), m, r.URL.Path)
		})
		list := strings.Join(allowed, ", ")
		detail := "%s does not take %s: use %s"
		if r.URL.Path == "/webhook" || r.URL.Path == "/" {
			detail = "%s does not take %s: Alertmanager sends its notifications with %s"
		}
		return problem.New(http.StatusMethodNotAllowed, "method_not_allowed", detail, clip(r.URL.Path), clip(r.Method), list).
			With("Allow", list)
	}
}

func clip(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
