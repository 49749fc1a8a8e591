package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// metrics of the HTTP side. The handler label is the route's pattern, or
// "other": never a path, which callers choose.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "remediator_http_requests_total", Help: "HTTP requests answered, by route and status code.",
		}, []string{"handler", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "remediator_http_request_duration_seconds", Help: "Time from the headers of a request to the end of its response, by route.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 60},
		}, []string{"handler"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// seen is what the middleware and the endpoint tell each other about a request.
type seen struct {
	id  string
	who access.Identity
}

type seenKey struct{}

func about(r *http.Request) *seen {
	s, _ := r.Context().Value(seenKey{}).(*seen)
	if s == nil {
		return &seen{}
	}
	return s
}

func note(r *http.Request, who access.Identity) { about(r).who = who }
func requestID(r *http.Request) string          { return about(r).id }

var plainRequestID = regexp.MustCompile(`^[0-9A-Za-z._-]{1,64}$`)

// observe gives each request an id (the caller's X-Request-Id where it is one),
// counts it, and logs it at debug level: no query and no header, because either
// may hold a secret.
func (a *api) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		about := &seen{id: r.Header.Get("X-Request-Id")}
		if !plainRequestID.MatchString(about.id) {
			about.id = rand.Text()
		}
		w.Header().Set("X-Request-Id", about.id)
		r = r.WithContext(context.WithValue(r.Context(), seenKey{}, about))
		if r.ContentLength == 0 {
			bodyRead(w)
		}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() { a.observed(r, ww, about, time.Since(start)) }()
		next.ServeHTTP(ww, r)
	})
}

func (a *api) observed(r *http.Request, w middleware.WrapResponseWriter, about *seen, took time.Duration) {
	route := chi.RouteContext(r.Context()).RoutePattern()
	status := w.Status()
	if status == 0 {
		status = http.StatusOK
	}
	if route == "" || status == http.StatusNotFound && route == "/*" {
		route = "other"
	}
	a.metrics.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	a.metrics.duration.WithLabelValues(route).Observe(took.Seconds())
	a.Logger.Debug("request", zap.String("request_id", about.id), zap.String("method", clip(r.Method)),
		zap.String("path", clip(r.URL.Path)), zap.Int("status", status), zap.Int("bytes", w.BytesWritten()),
		zap.Duration("took", took), zap.String("remote", remote(r)), zap.String("user", about.who.Name))
}

// recoverPanic turns a panic into a 500 and one line with its stack. Where the
// response has begun the connection is cut, so that it does not look whole.
func (a *api) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			a.Logger.Error("panic in a handler", zap.Any("panic", v), zap.String("request_id", requestID(r)),
				zap.String("method", r.Method), zap.String("path", clip(r.URL.Path)), zap.ByteString("trace", debug.Stack()))
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				panic(http.ErrAbortHandler)
			}
			p := problem.New(http.StatusInternalServerError, "internal", "something went wrong inside: the log has it under this request_id")
			p.Instance, p.RequestID = clip(r.URL.Path), requestID(r)
			p.Write(w)
		}()
		next.ServeHTTP(w, r)
	})
}
