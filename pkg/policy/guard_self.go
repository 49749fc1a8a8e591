package policy

import "fmt"

// Self keeps remediator from acting on its own container and its own store.
type Self struct{}

// Name of the guard.
func (Self) Name() string { return "self" }

// Evaluate refuses when a target is remediator itself.
func (Self) Evaluate(in *Input) Answer {
	for _, list := range [][]string{in.Targets, in.Possible} {
		for _, t := range list {
			if in.SelfTargets[t] {
				return Answer{Code: CodeSelf, Text: fmt.Sprintf("%s is remediator itself", t)}
			}
		}
	}
	return Answer{}
}
