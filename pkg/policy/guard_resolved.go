package policy

import "fmt"

// ResolvedAlert keeps a policy that acts on firing alerts from acting on one that
// has resolved, and one that acts on resolution from acting while it fires.
type ResolvedAlert struct{}

// Name of the guard.
func (ResolvedAlert) Name() string { return "resolved" }

// Evaluate compares the episode's state with the policy's `on`.
func (ResolvedAlert) Evaluate(in *Input) Answer {
	switch {
	case in.Policy.On == OnFiring && !in.Episode.Open:
		return Answer{Code: CodeResolved, Text: "the alert is resolved; the policy acts on firing alerts"}
	case in.Policy.On == OnResolved && in.Episode.Open:
		return Answer{Code: CodeResolved, Text: fmt.Sprintf("the alert fires (since %s); the policy acts once it is resolved",
			in.Episode.Alert.StartsAt.UTC().Format("2006-01-02 15:04:05Z"))}
	}
	return Answer{}
}
