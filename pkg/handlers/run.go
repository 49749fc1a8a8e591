package handlers

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/handlers/access"
	"github.com/stellarescrow/remediator/pkg/handlers/problem"
)

// RunRequest is a person's wish to start a policy.
type RunRequest struct {
	Policy string            `json:"policy"`
	Labels map[string]string `json:"labels,omitempty"` // of the synthetic episode
	Reason string            `json:"reason"`
}

// RunAnswer is what became of it.
type RunAnswer struct {
	Episode     string        `json:"episode"`
	Remediation string        `json:"remediation,omitempty"` // absent: refused
	Policy      string        `json:"policy"`
	Mode        string        `json:"mode"`
	Verdict     string        `json:"verdict"`
	Reason      audit.Reason  `json:"reason"`
	Guards      []audit.Guard `json:"guards"`
}

// Started says whether a remediation came of it, its own or one it joined.
func (a RunAnswer) Started() bool {
	return a.Remediation != "" &&
		(slices.Contains([]string{"execute", "await_approval"}, a.Verdict) || a.Reason.Code == "joined")
}

// Quarantine is a target that nothing touches until a person clears it.
type Quarantine struct {
	Target      string    `json:"target"`
	Since       time.Time `json:"since"`
	Remediation string    `json:"remediation"`
	Policy      string    `json:"policy"`
	Text        string    `json:"text"` // why
}

// run is POST /api/v1/remediations: 201 when a remediation came of it, 409 with
// what the guards said when they refused.
func (a *api) run(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	var body RunRequest
	if err := readControl(w, r, &body); err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	answer, err := a.Controller.Run(r.Context(), who.Actor(), body)
	if err != nil {
		return err
	}
	answer.Guards = listed(answer.Guards)
	if !answer.Started() {
		return problem.New(http.StatusConflict, "refused", "%s: %s: %s: nothing was started, and nothing will start later",
			answer.Verdict, answer.Reason.Code, answer.Reason.Text).Extend(answer)
	}
	w.Header().Set("Location", "/api/v1/remediations/"+answer.Remediation)
	return writeStatus(w, http.StatusCreated, answer)
}

func (r RunRequest) check() error {
	switch {
	case r.Policy == "":
		return problem.New(http.StatusBadRequest, "invalid_request", "policy is missing: name the policy to run")
	case strings.TrimSpace(r.Reason) == "":
		return problem.New(http.StatusBadRequest, "invalid_request", "reason is missing: say why, it is recorded")
	}
	for name := range r.Labels {
		if name == "" {
			return problem.New(http.StatusBadRequest, "invalid_request", "labels: a label has an empty name")
		}
	}
	return nil
}

// clear is POST /api/v1/clear: the end of a target's quarantine.
func (a *api) clear(w http.ResponseWriter, r *http.Request, who access.Identity) error {
	var body struct {
		Target string `json:"target"`
		Reason string `json:"reason"`
	}
	if err := readControl(w, r, &body); err != nil {
		return err
	}
	if body.Target == "" {
		return problem.New(http.StatusBadRequest, "invalid_request", "target is missing: name the target to clear, such as docker:local/api")
	}
	if err := a.Controller.Clear(r.Context(), who.Actor(), body.Target, body.Reason); err != nil {
		return err
	}
	return ok(w)
}
