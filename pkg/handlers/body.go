package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

const maxControlBody = 64 << 10

// checkContentType refuses a POST whose body says that it is no JSON, such as a
// form of a web page, and, where the gate asks for it, one that says nothing.
func checkContentType(g gate, r *http.Request) error {
	if r.Method != http.MethodPost {
		return nil
	}
	given := r.Header.Get("Content-Type")
	if given == "" && !g.RequireContentType() {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(given); err == nil && kind == "application/json" {
		return nil
	}
	return problem.New(http.StatusUnsupportedMediaType, "not_json", "Content-Type %q: send application/json", clip(given)).
		With("Accept", "application/json")
}

// bodyRead lifts the deadline that the server set for reading the request. It
// must not strike later: the end of it would cancel the request's context.
func bodyRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// readControl decodes the small JSON object of a control request into v. An empty
// body leaves v as it is. What could turn an order into a wider one is refused: an
// unknown field, null, a field that is given twice, and an empty one of named.
func readControl(w http.ResponseWriter, r *http.Request, v any, named ...string) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	bodyRead(w)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return problem.New(http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than %d bytes", large.Limit)
	case err != nil:
		return malformed(err)
	case len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return problem.New(http.StatusBadRequest, "trailing_data", "data after the JSON object")
	}
	return checkFields(body, named)
}

func malformed(err error) error {
	return problem.New(http.StatusBadRequest, "malformed_json", "cannot decode the body: %s", clip(err.Error()))
}

// writeJSON answers 200.
func writeJSON(w http.ResponseWriter, v any) error { return writeStatus(w, http.StatusOK, v) }

func writeStatus(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the peer is gone, there is nobody to tell
	return nil
}

// done is the body of a control request that succeeded.
type done struct {
	Status string `json:"status"`
}

func ok(w http.ResponseWriter) error { return writeJSON(w, done{Status: "ok"}) }
