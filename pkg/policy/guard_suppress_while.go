package policy

// PolicySuppressWhile is the policy's own suppress_while: a condition of the world
// under which its action would not help or would do harm.
type PolicySuppressWhile struct{}

// Name of the guard.
func (PolicySuppressWhile) Name() string { return "suppress_while" }

// Evaluate refuses while one of the condition's parts holds, or may hold.
func (PolicySuppressWhile) Evaluate(in *Input) Answer {
	return suppressed(in, in.Policy.Settings.SuppressWhile)
}
