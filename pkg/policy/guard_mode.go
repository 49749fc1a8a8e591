package policy

// ModeMark marks the decision with the mode it was made in. It never refuses at
// the decision; before an effect it refuses when the newest mode is stricter than
// the one in which the remediation was started.
type ModeMark struct{}

// Name of the guard.
func (ModeMark) Name() string { return "mode" }

// Evaluate marks, and refuses a live remediation once the mode is dry-run.
func (ModeMark) Evaluate(in *Input) Answer {
	if in.StartedMode == Live && in.Mode != Live {
		return Answer{Code: CodePaused, Text: "the mode was changed to dry-run meanwhile"}
	}
	if in.Mode != Live || in.StartedMode == DryRun { // what began as a dry run stays one
		return Answer{Text: "dry run: nothing will be changed"}
	}
	return Answer{Text: "live"}
}
