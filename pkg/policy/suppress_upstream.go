package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// whileUpstream: trouble that is known is never overruled, an unknown state by a
// person's consent alone, and what has just ended still counts for resume_after.
func whileUpstream(in *Input, name string) Answer {
	cfg, configured := in.Upstreams[name]
	if !configured {
		return Answer{Code: CodeUpstreamUnknown, Text: fmt.Sprintf(
			"upstream %q is not configured any more, so its state is not known; configure it again or take it out of suppress_while", name)}
	}
	if cfg.Untold {
		return Answer{Code: CodeUpstreamUnknown, Text: fmt.Sprintf("upstream %q: its page says something new, which is not on record yet", name)}
	}
	u, recorded := in.History.Upstream(name)
	if u.State.Bad() {
		return Answer{Code: CodeUpstreamIncident, TellAt: tellAt(in, cfg, began(u)), Text: fmt.Sprintf("upstream %q: %s", name, u.Text)}
	}
	// Before what is unknown, whatever the state: that an end is known is no less known
	// while the page is away, and neither consent nor `unknown: allow` shortens the wait.
	if end := past(ended(u), in.Now); !end.IsZero() && end.Add(cfg.ResumeAfter).After(in.Now) {
		until := end.Add(cfg.ResumeAfter)
		return Answer{Code: CodeUpstreamIncident, Until: until, Text: fmt.Sprintf(
			"the trouble of upstream %q ended at %s; what depends on it has until %s to recover by itself (resume_after %s)",
			name, clock(end), clock(until), span(cfg.ResumeAfter))}
	}
	why, since := unknown(in, cfg, u, recorded)
	if why != "" && cfg.LastError != "" && !strings.Contains(why, cfg.LastError) {
		why += ": " + cfg.LastError
	}
	lasts := u.State == upstream.Unknown && afterTrouble(u)
	switch {
	case why == "", cfg.UnknownAllows && !lasts:
		return Answer{}
	case lasts:
		why += "; its last good answer reported trouble, and that is not over because the page is away"
	}
	return orAsk(in, cfg, Answer{
		Code: CodeUpstreamUnknown, TellAt: tellAt(in, cfg, since), Text: fmt.Sprintf("the state of upstream %q is not known: %s", name, why),
	})
}

// afterTrouble says whether trouble is the last that was known before a state.
func afterTrouble(u ledger.Upstream) bool { return u.AfterIncident || u.Before.Bad() }

// ended is when the last trouble was over, never after the record that says so; zero:
// there was none, it lasts, or nobody knows.
func ended(u ledger.Upstream) time.Time {
	switch {
	case !u.Ended.IsZero() && u.Ended.Before(u.Recorded):
		return u.Ended
	case !u.Ended.IsZero(), u.State == upstream.Operational && afterTrouble(u):
		return u.Recorded
	}
	return time.Time{}
}

// unknown is why the state of an upstream is not known, and since when; "" when it is.
// A page that answered at a time far ahead of now answered under a clock that was set
// back since, which says nothing about now.
func unknown(in *Input, cfg Upstream, u ledger.Upstream, recorded bool) (why string, since time.Time) {
	switch {
	case !recorded:
		return "its page has not been read yet", in.Episode.FirstSeen
	case u.State != upstream.Operational:
		return u.Text, began(u)
	case cfg.LastGood.IsZero():
		// How long that has been is not known yet: the watch records it as unknown after
		// stale_after, and from then on it counts.
		return "its page has given no good answer since remediator started", in.Now
	case in.Now.Sub(cfg.LastGood).Abs() > cfg.StaleAfter:
		return fmt.Sprintf("its page gave its last good answer at %s (stale_after %s)", clock(cfg.LastGood), span(cfg.StaleAfter)), cfg.LastGood
	}
	return "", time.Time{}
}

// orAsk turns an unknown state that has lasted for max_suppression into a question
// to a person.
func orAsk(in *Input, cfg Upstream, a Answer) Answer {
	switch {
	case a.TellAt.IsZero(): // without max_suppression nobody is asked
	case a.TellAt.After(in.Now):
		a.Until = a.TellAt
	default:
		a.Code = CodeApproval
		a.Text += fmt.Sprintf(" (for longer than max_suppression %s: a person may consent)", span(cfg.MaxSuppression))
	}
	return a
}

// tellAt is when something that began at a time has kept the episode from being
// acted upon for max_suppression; zero: never.
func tellAt(in *Input, cfg Upstream, since time.Time) time.Time {
	if cfg.MaxSuppression <= 0 {
		return time.Time{}
	}
	from := past(in.Episode.FirstSeen, in.Now)
	if since = past(since, in.Now); since.After(from) {
		from = since
	}
	return from.Add(cfg.MaxSuppression)
}

// began is when a state began, by the page's word or else by the record.
func began(u ledger.Upstream) time.Time {
	if u.Since.IsZero() {
		return u.Recorded
	}
	return u.Since
}
