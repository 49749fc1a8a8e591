package handlers

import (
	_ "embed" // the document is a file of its own
	"net/http"

	"github.com/stellarescrow/remediator/pkg/handlers/access"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// openAPI is GET /api/v1/openapi.yaml: every route in a form for programs. A test
// holds it to the router.
func (a *api) openAPI(w http.ResponseWriter, _ *http.Request, _ access.Identity) error {
	h := w.Header()
	h.Set("Content-Type", "application/yaml")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(openAPIDocument)
	return nil
}
