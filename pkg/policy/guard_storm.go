package policy

import "github.com/stellarescrow/remediator/pkg/ledger"

// StormBrake holds all but P1 back while alerts come by the dozen: what matters then
// is decided by people.
type StormBrake struct{}

// Name of the guard.
func (StormBrake) Name() string { return "storm" }

// Evaluate refuses until the storm is over. It never defers P1, nor what a person
// started, nor an upstream's state.
func (StormBrake) Evaluate(in *Input) Answer {
	if !in.StormUntil.After(in.Now) || in.Policy.Severity == "P1" || in.Episode.Origin != ledger.OriginWebhook {
		return Answer{}
	}
	return Answer{Code: CodeStorm, Until: in.StormUntil, Text: in.StormText}
}
