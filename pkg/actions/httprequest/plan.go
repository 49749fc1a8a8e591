package httprequest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"

	"github.com/stellarescrow/remediator/pkg/actions"
)

// shownBody bounds what of an answer becomes an output, in bytes.
const shownBody = 4 << 10

// Plan says which request would be sent. It sends none; where the entry names its
// service, Docker is asked whether it runs.
func (r *request) Plan(ctx context.Context, s actions.Scope) (actions.Plan, error) {
	req, err := r.render(s)
	if err != nil {
		return actions.Plan{}, err
	}
	if err := ctx.Err(); err != nil {
		return actions.Plan{}, fail(actions.CodeUnreachable, "not begun: %w", err)
	}
	if r.service != "" {
		if _, err := lookUp(ctx, r.services, r.service); err != nil {
			return actions.Plan{}, err
		}
	}
	return r.plan(req), nil
}

// plan describes a request. A plan is recorded and shown, and a query or a body may
// hold what nobody should read there: they are in it as a digest only, which the
// plan's hash covers.
func (r *request) plan(req Request) actions.Plan {
	sum := sha256.Sum256([]byte(req.Method + "\n" + req.URL.String() + "\n" + req.Body))
	what := r.redactor.Text(req.Method + " " + place(req.URL))
	return actions.Plan{
		Uses: "http.request", Targets: []string{r.target()},
		Objects: []actions.Object{{Kind: "request", ID: what, Name: r.name, Detail: map[string]any{"body_bytes": len(req.Body)}}},
		Args: map[string]any{
			"http": r.name, "method": req.Method, "path": r.redactor.Text(req.URL.EscapedPath()),
			"request_sha256": hex.EncodeToString(sum[:]),
		},
		Text: fmt.Sprintf("send %s with a body of %d bytes", what, len(req.Body)),
	}
}

// Apply sends the planned request, once. The plan holds a digest of it, so it is
// rendered again and must come out the same: what was consented to is what is sent.
func (r *request) Apply(ctx context.Context, s actions.Scope, p actions.Plan, h actions.Hands) (actions.Result, error) {
	hand, err := actions.Hand[Doer](h, "http:"+r.name)
	if err != nil {
		return actions.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return actions.Result{}, fail(actions.CodeFailed, "not begun: %w", err)
	}
	req, err := r.render(s)
	if err != nil {
		return actions.Result{}, err
	}
	planned := actions.Hash([]actions.Plan{p})
	if actions.Hash([]actions.Plan{r.plan(req)}) != planned {
		return actions.Result{}, fail(actions.CodeFailed, "%s: the request is not the planned one any more; nothing was sent", p.Text)
	}
	req.Key = s.Remediation + "-" + planned
	own, cancel := context.WithTimeout(ctx, r.Timeout.Std())
	defer cancel()
	a, err := hand.Do(own, req)
	what := r.redactor.Text(req.Method + " " + place(req.URL))
	if err != nil {
		return actions.Result{}, fail(actions.CodeOf(err), "%s: %w", what, err)
	}
	return r.judge(what, a)
}

// judge takes the status for what the server says it has done.
func (r *request) judge(what string, a Answer) (actions.Result, error) {
	res := actions.Result{
		Text: fmt.Sprintf("%s answered %d in %d ms", what, a.Status, a.Took.Milliseconds()),
		Outputs: map[string]any{
			"status": a.Status, "body": actions.CapHead(a.Body, shownBody), "latency_ms": int(a.Took.Milliseconds()),
		},
	}
	res.OK = a.Status >= 200 && a.Status <= 299
	if len(r.Status) > 0 {
		res.OK = slices.Contains(r.Status, a.Status)
	}
	switch {
	case res.OK:
		return res, nil
	case a.Status == http.StatusBadGateway || a.Status == http.StatusGatewayTimeout:
		// A proxy in front of it lost it in the middle, or never reached it.
		return res, fail(actions.CodeOutcomeUnknown, "%s answered %d: what became of the request is not known", what, a.Status)
	default:
		return res, fail(actions.CodeFailed, "%s answered %d", what, a.Status)
	}
}
