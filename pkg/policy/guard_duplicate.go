package policy

import (
	"fmt"
	"slices"
)

// Duplicate makes one remediation out of many alerts about one thing: an episode
// that is being handled is not handled twice, and another episode of the same
// policy and targets joins.
type Duplicate struct{}

// Name of the guard.
func (Duplicate) Name() string { return "duplicate" }

// Evaluate looks for a remediation under way that this episode belongs to.
func (Duplicate) Evaluate(in *Input) Answer {
	if a, ok := handling(in); ok {
		return Answer{Code: CodeDuplicate, Text: fmt.Sprintf("remediation %s is handling this episode", a.Remediation)}
	}
	if a, ok := joinable(in); ok {
		// Joining must not be a way round the guards that look at the episode: an
		// old one, or one that is with people, is refused by them for itself.
		if !(Stale{}).Evaluate(in).Allows() || !(Attempts{}).Evaluate(in).Allows() {
			return Answer{}
		}
		return Answer{Code: CodeJoined, Text: fmt.Sprintf("joined remediation %s of the same policy and targets", a.Remediation)}
	}
	return Answer{}
}

func joins(in *Input) string {
	if a, ok := handling(in); ok {
		return a.Remediation
	}
	a, _ := joinable(in)
	return a.Remediation
}

func handling(in *Input) (Active, bool) {
	for _, a := range in.Active {
		if a.Remediation != in.Remediation && a.Policy == in.Policy.Name && slices.Contains(a.Episodes, in.Episode.ID) {
			return a, true
		}
	}
	return Active{}, false
}

func joinable(in *Input) (Active, bool) {
	for _, a := range in.Active {
		if a.Remediation != in.Remediation && a.Policy == in.Policy.Name && a.Mode == in.Mode &&
			sameSet(a.Targets, in.Possible) {
			return a, true
		}
	}
	return Active{}, false
}

// sameSet: targets are a set, whatever order somebody lists them in.
func sameSet(a, b []string) bool {
	set := func(in []string) []string { return slices.Compact(slices.Sorted(slices.Values(in))) }
	return slices.Equal(a, b) || slices.Equal(set(a), set(b))
}
