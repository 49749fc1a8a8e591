package policy

// DecideGuardrails asks the guardrails alone, for effects that are planned.
func DecideGuardrails(in *Input) Decision { return ask(nil, in) }
