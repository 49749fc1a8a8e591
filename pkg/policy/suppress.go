package policy

import "fmt"

// suppressed evaluates a suppress_while, of a policy or of a guardrail. Its parts
// are OR; consent that one of them asks for does not overrule another.
func suppressed(in *Input, c SuppressWhile) Answer {
	var found []Answer
	if c.Upstream != "" {
		found = append(found, whileUpstream(in, c.Upstream))
	}
	if len(c.Alert) > 0 {
		found = append(found, whileAlert(in, c))
	}
	if c.PolicyRunning != "" {
		found = append(found, whilePolicyRuns(in, c.PolicyRunning))
	}
	return firmest(found...)
}

func whileAlert(in *Input, c SuppressWhile) Answer {
	names, _ := namesOf(c.Alert)
	ep, ok := in.History.FiringWhere(in.Episode.ID, func(set map[string]string) bool { return matchesAll(c.Alert, set) }, names...)
	if !ok {
		return Answer{}
	}
	return Answer{Code: CodeAlertFiring, Text: fmt.Sprintf("alert %q fires since %s (episode %s), matched by %s; lifts when it is resolved",
		ep.Alert.Labels[alertName], clock(past(ep.Alert.StartsAt, in.Now)), ep.ID, c.Alert)}
}

// whilePolicyRuns: live work minds live work only, a rehearsal minds both. One that
// waits for consent does nothing yet.
func whilePolicyRuns(in *Input, name string) Answer {
	for _, a := range in.Active {
		if a.Policy != name || a.Asking || a.Remediation == in.Remediation || a.Mode == DryRun && isLive(in) {
			continue
		}
		return Answer{Code: CodePolicyRunning, Text: fmt.Sprintf("remediation %s of policy %q is under way; lifts when it is closed", a.Remediation, name)}
	}
	return Answer{}
}
