package policy

import "fmt"

// ResolvedAlert keeps a policy that acts on firing alerts from acting on one that
// has resolved, and one that acts on resolution from acting while it fires.
type ResolvedAlert struct{}

// Name of the guard.
func (ResolvedAlert) Name() string { return "resolved" }

// Evaluate compares the episode's state with the policy's `on`. For a policy on
// resolution a newer episode of the same alert counts as firing too.
func (ResolvedAlert) Evaluate(in *Input) Answer {
	if in.Policy.On != OnResolved {
		if in.Episode.Open {
			return Answer{}
		}
		return Answer{Code: CodeResolved, Text: "the alert is resolved; the policy acts on firing alerts"}
	}
	since, fires := in.Episode.Alert.StartsAt, in.Episode.Open
	if e, ok := in.History.Firing(in.Episode.Fingerprint); ok {
		since, fires = e.Alert.StartsAt, true
	}
	if !fires {
		return Answer{}
	}
	return Answer{Code: CodeResolved, Text: fmt.Sprintf("the alert fires (since %s); the policy acts once it is resolved",
		since.UTC().Format("2006-01-02 15:04:05Z"))}
}
