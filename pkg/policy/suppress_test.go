package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/policy"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

const hour = time.Hour

// watched makes the policy mind stellar, whose page answered a minute ago.
func watched(f *fixture) {
	f.in.Policy.Settings.SuppressWhile.Upstream = "stellar"
	f.in.Upstreams = map[string]policy.Upstream{"stellar": {
		Name: "stellar", StaleAfter: 3 * minute, ResumeAfter: 10 * minute, MaxSuppression: 6 * hour, LastGood: at(-minute),
	}}
}

func configure(f *fixture, change func(*policy.Upstream)) {
	u := f.in.Upstreams["stellar"]
	change(&u)
	f.in.Upstreams["stellar"] = u
}

// said records a state of stellar some time ago; since is when it began.
func said(f *fixture, ago time.Duration, c upstream.Change) {
	if c.Text == "" {
		c.Text = string(c.State)
	}
	f.upstream(at(-ago), c)
}

func TestSuppressWhile_KnownTrouble(t *testing.T) {
	outage := upstream.Change{State: upstream.Incident, Since: at(-hour), Text: `incident "Horizon is slow" (major)`}
	bad := func(c upstream.Change, change func(*policy.Upstream)) func(*fixture) {
		return func(f *fixture) {
			watched(f)
			said(f, 4*minute, c)
			if change != nil {
				configure(f, change)
			}
		}
	}
	refused := func(text string, tell time.Duration) policy.Answer {
		return policy.Answer{Code: policy.CodeUpstreamIncident, Text: `upstream "stellar": ` + text, TellAt: at(tell)}
	}
	// The episode was first seen at -5m, after the trouble began: people are told by it.
	incident := refused(outage.Text, 6*hour-5*minute)
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{name: "no condition"},
		{"operational", func(f *fixture) {
			watched(f)
			said(f, 4*minute, upstream.Change{State: upstream.Operational})
		}, policy.Answer{}},
		{"an incident", bad(outage, nil), incident},
		{"unknown is allowed, and this is known", bad(outage, func(u *policy.Upstream) { u.UnknownAllows = true }), incident},
		{"its page went away meanwhile", bad(outage, func(u *policy.Upstream) { u.LastGood = at(-hour) }), incident},
		{"its page has not been read since the start", bad(outage, func(u *policy.Upstream) { u.LastGood, u.UnknownAllows = time.Time{}, true }), incident},
		{"a maintenance", bad(upstream.Change{State: upstream.Maintenance, Text: "upgrade"}, nil), refused("upgrade", 6*hour-4*minute)},
		{"it began after the episode", bad(upstream.Change{State: upstream.Incident, Since: at(-2 * minute), Text: "x"}, nil), refused("x", 6*hour-2*minute)},
		{"it begins in the future", bad(upstream.Change{State: upstream.Incident, Since: at(hour), Text: "x"}, nil), refused("x", 6*hour)},
		{
			"nobody is ever told", bad(outage, func(u *policy.Upstream) { u.MaxSuppression = 0 }),
			policy.Answer{Code: policy.CodeUpstreamIncident, Text: `upstream "stellar": ` + outage.Text},
		},
		{"another upstream's", func(f *fixture) {
			bad(outage, nil)(f)
			f.in.Policy.Settings.SuppressWhile.Upstream = "other"
			f.in.Upstreams["other"] = policy.Upstream{UnknownAllows: true}
		}, policy.Answer{}},
	})

	f := newFixture()
	bad(outage, nil)(f)
	for _, now := range []time.Duration{6 * hour, 1000 * hour} {
		f.in.Now = at(now)
		a := policy.PolicySuppressWhile{}.Evaluate(f.in)
		require.Equal(t, policy.CodeUpstreamIncident, a.Code, "never overruled")
		require.Equal(t, at(6*hour-5*minute), a.TellAt, "told at the same moment, whenever it is asked")
		require.Zero(t, a.Until)
	}
}

func TestSuppressWhile_TroubleThatEnded(t *testing.T) {
	ended := func(ago time.Duration, c upstream.Change, change func(*policy.Upstream)) func(*fixture) {
		return func(f *fixture) {
			watched(f)
			c.State = upstream.Operational
			said(f, ago, c)
			if change != nil {
				configure(f, change)
			}
		}
	}
	resumes := policy.Answer{
		Code: policy.CodeUpstreamIncident, Until: at(6 * minute),
		Text: `the trouble of upstream "stellar" ended at 2026-03-01 09:56:00Z; what depends on it has until 2026-03-01 10:06:00Z to recover by itself (resume_after 10m)`,
	}
	afterIncident := upstream.Change{Before: upstream.Incident}
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{"an incident ended", ended(4*minute, afterIncident, nil), resumes},
		{"a maintenance ended", ended(4*minute, upstream.Change{Before: upstream.Maintenance}, nil), resumes},
		{"an incident ended behind an unknown", ended(4*minute, upstream.Change{Before: upstream.Unknown, AfterIncident: true}, nil), resumes},
		{"an unknown ended that no trouble was before", ended(4*minute, upstream.Change{Before: upstream.Unknown}, nil), policy.Answer{}},
		{"the first answer ever", ended(4*minute, upstream.Change{}, nil), policy.Answer{}},
		{"long ago", ended(10*minute-time.Nanosecond, afterIncident, func(u *policy.Upstream) { u.ResumeAfter = 5 * minute }), policy.Answer{}},
		{"no time to recover is asked for", ended(4*minute, afterIncident, func(u *policy.Upstream) { u.ResumeAfter = 0 }), policy.Answer{}},
		{"and the page went away", ended(4*minute, afterIncident, func(u *policy.Upstream) { u.LastGood = at(-4 * minute) }), resumes},
		{"and the page went away, which is allowed", ended(4*minute, afterIncident, func(u *policy.Upstream) { u.LastGood, u.UnknownAllows = at(-4*minute), true }), resumes},
		{"consent does not shorten it", ended(4*minute, afterIncident, func(u *policy.Upstream) { u.LastGood, u.MaxSuppression = at(-4*minute), time.Second }), resumes},
		{"it ended a while before that was recorded", ended(2*minute, upstream.Change{Before: upstream.Unknown, AfterIncident: true, Ended: at(-4 * minute)}, nil), resumes},
		{"recorded in the future", ended(-hour, afterIncident, nil), policy.Answer{
			Code: policy.CodeUpstreamIncident, Until: at(10 * minute),
			Text: `the trouble of upstream "stellar" ended at 2026-03-01 10:00:00Z; what depends on it has until 2026-03-01 10:10:00Z to recover by itself (resume_after 10m)`,
		}},
	})

	f := newFixture()
	ended(4*minute, afterIncident, func(u *policy.Upstream) { u.LastGood = at(6 * minute) })(f)
	f.in.Now = at(6*minute - 1)
	require.Equal(t, policy.CodeUpstreamIncident, policy.PolicySuppressWhile{}.Evaluate(f.in).Code)
	f.in.Now = at(6 * minute)
	require.True(t, policy.PolicySuppressWhile{}.Evaluate(f.in).Allows(), "it lifts when it says")
}

// A page that goes away after the trouble does not make it end sooner.
func TestSuppressWhile_ThePageGoesAwayAfterTheEnd(t *testing.T) {
	away := func(ended time.Duration, change func(*policy.Upstream)) func(*fixture) {
		return func(f *fixture) {
			watched(f)
			said(f, minute, upstream.Change{State: upstream.Unknown, Before: upstream.Operational, Since: at(-minute), Ended: at(ended), Text: "no good answer for 3m"})
			configure(f, func(u *policy.Upstream) { u.LastGood = at(-4 * minute) })
			if change != nil {
				configure(f, change)
			}
		}
	}
	allow := func(u *policy.Upstream) { u.UnknownAllows = true }
	resumes := policy.Answer{
		Code: policy.CodeUpstreamIncident, Until: at(6 * minute),
		Text: `the trouble of upstream "stellar" ended at 2026-03-01 09:56:00Z; what depends on it has until 2026-03-01 10:06:00Z to recover by itself (resume_after 10m)`,
	}
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{"unknown", away(-4*minute, nil), resumes},
		{"which is allowed", away(-4*minute, allow), resumes},
		{"a person is not even asked", away(-4*minute, func(u *policy.Upstream) { u.MaxSuppression = time.Second }), resumes},
		{"a clock was set back since: no later than its record", away(hour, allow), policy.Answer{
			Code: policy.CodeUpstreamIncident, Until: at(9 * minute),
			Text: `the trouble of upstream "stellar" ended at 2026-03-01 09:59:00Z; what depends on it has until 2026-03-01 10:09:00Z to recover by itself (resume_after 10m)`,
		}},
		{"it is over", away(-10*minute, nil), policy.Answer{
			Code: policy.CodeUpstreamUnknown, Until: at(6*hour - minute), TellAt: at(6*hour - minute),
			Text: `the state of upstream "stellar" is not known: no good answer for 3m`,
		}},
		{"it is over, and unknown is allowed", away(-10*minute, allow), policy.Answer{}},
	})

	f := newFixture()
	away(-4*minute, func(u *policy.Upstream) { u.MaxSuppression = time.Second })(f)
	f.in.Approved = map[string]string{"suppress_while": "alice"}
	require.Equal(t, policy.CodeUpstreamIncident, policy.Decide(f.in).Code, "consent does not shorten it")
}

func TestSuppressWhile_UnknownState(t *testing.T) {
	with := func(c *upstream.Change, change func(*policy.Upstream)) func(*fixture) {
		return func(f *fixture) {
			watched(f)
			if c != nil {
				said(f, 4*minute, *c)
			}
			if change != nil {
				configure(f, change)
			}
		}
	}
	unknown := func(why string, lifts time.Duration) policy.Answer {
		return policy.Answer{
			Code: policy.CodeUpstreamUnknown, Text: `the state of upstream "stellar" is not known: ` + why, Until: at(lifts), TellAt: at(lifts),
		}
	}
	asks := func(why, after string, since time.Duration) policy.Answer {
		return policy.Answer{
			Code: policy.CodeApproval, TellAt: at(since),
			Text: `the state of upstream "stellar" is not known: ` + why + " (for longer than max_suppression " + after + ": a person may consent)",
		}
	}
	allow := func(u *policy.Upstream) { u.UnknownAllows = true }
	away := &upstream.Change{State: upstream.Unknown, Before: upstream.Operational, Since: at(-4 * minute), Text: "no good answer for 3m"}
	awayAfter := &upstream.Change{State: upstream.Unknown, AfterIncident: true, Since: at(-hour), Text: "no good answer for 3m"}
	awayAtOnce := &upstream.Change{State: upstream.Unknown, Before: upstream.Incident, Since: at(-hour), Text: "no good answer for 3m"}
	good := &upstream.Change{State: upstream.Operational, Since: at(-4 * minute)}
	lasts := "no good answer for 3m; its last good answer reported trouble, and that is not over because the page is away"
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{"something new is not on record", with(good, func(u *policy.Upstream) { u.Untold = true; allow(u) }), policy.Answer{
			Code: policy.CodeUpstreamUnknown, Text: `upstream "stellar": its page says something new, which is not on record yet`,
		}},
		{"never read, with why", with(nil, func(u *policy.Upstream) { u.LastError = "no such host" }), unknown("its page has not been read yet: no such host", 6*hour-5*minute)},
		{"never read", with(nil, nil), unknown("its page has not been read yet", 6*hour-5*minute)},
		{"never read, which is allowed", with(nil, allow), policy.Answer{}},
		{"never read since the start", with(good, func(u *policy.Upstream) { u.LastGood = time.Time{} }), unknown("its page has given no good answer since remediator started", 6*hour)},
		{"as old as may be", with(good, func(u *policy.Upstream) { u.LastGood = at(-3 * minute) }), policy.Answer{}},
		{
			"older", with(good, func(u *policy.Upstream) { u.LastGood = at(-3*minute - 1) }),
			unknown("its page gave its last good answer at 2026-03-01 09:56:59Z (stale_after 3m)", 6*hour-3*minute-1),
		},
		{"older, which is allowed", with(good, func(u *policy.Upstream) { u.LastGood = at(-hour); allow(u) }), policy.Answer{}},
		{
			"answered under a clock that was set back since", with(good, func(u *policy.Upstream) { u.LastGood = at(hour) }),
			unknown("its page gave its last good answer at 2026-03-01 11:00:00Z (stale_after 3m)", 6*hour),
		},
		{"answered while the decision was made", with(good, func(u *policy.Upstream) { u.LastGood = at(time.Second) }), policy.Answer{}},
		{"found unknown", with(away, nil), unknown("no good answer for 3m", 6*hour-4*minute)},
		{"found unknown, which is allowed", with(away, allow), policy.Answer{}},
		{"a state that nobody knows", with(&upstream.Change{State: "odd", Text: "odd"}, nil), unknown("odd", 6*hour-4*minute)},
		{"unknown after trouble", with(awayAfter, allow), unknown(lasts, 6*hour-5*minute)},
		{"unknown right after trouble", with(awayAtOnce, allow), unknown(lasts, 6*hour-5*minute)},
		{"it has lasted", with(away, func(u *policy.Upstream) { u.MaxSuppression = 4 * minute }), asks("no good answer for 3m", "4m", 0)},
		{"it has all but lasted", with(away, func(u *policy.Upstream) { u.MaxSuppression = 4*minute + 1 }), unknown("no good answer for 3m", 1)},
		{"it has lasted, after trouble", with(awayAfter, func(u *policy.Upstream) { u.MaxSuppression = 5 * minute }), asks(lasts, "5m", 0)},
		{"it has lasted for longer than the episode", with(awayAfter, func(u *policy.Upstream) { u.MaxSuppression = 30 * minute }), unknown(lasts, 25*minute)},
		{"the episode was first seen in the future", func(f *fixture) {
			with(away, nil)(f)
			f.in.Episode.FirstSeen = at(hour)
		}, unknown("no good answer for 3m", 6*hour)},
		{"nobody is ever asked", with(away, func(u *policy.Upstream) { u.MaxSuppression = 0 }), policy.Answer{
			Code: policy.CodeUpstreamUnknown, Text: `the state of upstream "stellar" is not known: no good answer for 3m`,
		}},
		{"it is not configured any more", func(f *fixture) {
			with(good, allow)(f)
			f.in.Upstreams = nil
		}, policy.Answer{
			Code: policy.CodeUpstreamUnknown,
			Text: `upstream "stellar" is not configured any more, so its state is not known; configure it again or take it out of suppress_while`,
		}},
	})
}

func TestSuppressWhile_AnotherAlertFires(t *testing.T) {
	while := func(f *fixture) {
		f.in.Policy.Settings.SuppressWhile.Alert = matchers(t, `alertname="PostgresDown"`, `zone!="test"`)
	}
	pg := map[string]string{"alertname": "PostgresDown"}
	fires := func(labels map[string]string) func(*fixture) {
		return func(f *fixture) { while(f); f.fires(at(-2*minute), "e-2", labels) }
	}
	refused := policy.Answer{
		Code: policy.CodeAlertFiring,
		Text: `alert "PostgresDown" fires since 2026-03-01 09:58:00Z (episode e-2), matched by {alertname="PostgresDown",zone!="test"}; lifts when it is resolved`,
	}
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{"it does not fire", while, policy.Answer{}},
		{"it fires; a label that is missing is empty", fires(pg), refused},
		{"one matcher does not match", fires(map[string]string{"alertname": "PostgresDown", "zone": "test"}), policy.Answer{}},
		{"it has resolved", func(f *fixture) { fires(pg)(f); f.resolves(at(-minute), "e-2", pg) }, policy.Answer{}},
		{"it is the very episode", func(f *fixture) {
			fires(pg)(f)
			f.in.Episode, _ = f.l.Episode("e-2")
		}, policy.Answer{}},
		{"it is remediator's own", fires(map[string]string{"alertname": "PostgresDown", "source": "remediator"}), policy.Answer{}},
	})
}

func TestSuppressWhile_APolicyRuns(t *testing.T) {
	runs := func(change func(*policy.Active, *policy.Input)) func(*fixture) {
		return func(f *fixture) {
			f.in.Policy.Settings.SuppressWhile.PolicyRunning = "restore"
			a := policy.Active{Remediation: "r-1", Policy: "restore", Mode: policy.Live}
			if change != nil {
				change(&a, f.in)
			}
			f.in.Active = []policy.Active{{Remediation: "r-0", Policy: "Q", Mode: policy.Live}, a}
		}
	}
	refused := policy.Answer{Code: policy.CodePolicyRunning, Text: `remediation r-1 of policy "restore" is under way; lifts when it is closed`}
	runGuard(t, policy.PolicySuppressWhile{}, []guardCase{
		{"it runs", runs(nil), refused},
		{"another policy runs", runs(func(a *policy.Active, _ *policy.Input) { a.Policy = "P" }), policy.Answer{}},
		{"it waits for consent", runs(func(a *policy.Active, _ *policy.Input) { a.Asking = true }), policy.Answer{}},
		{"it is the one that asks", runs(func(_ *policy.Active, in *policy.Input) { in.Remediation = "r-1" }), policy.Answer{}},
		{"live work minds no rehearsal", runs(func(a *policy.Active, _ *policy.Input) { a.Mode = policy.DryRun }), policy.Answer{}},
		{"a rehearsal minds a rehearsal", runs(func(a *policy.Active, in *policy.Input) { a.Mode, in.Mode = policy.DryRun, policy.DryRun }), refused},
		{"what began as a rehearsal does too", runs(func(a *policy.Active, in *policy.Input) { a.Mode, in.StartedMode = policy.DryRun, policy.DryRun }), refused},
		{"a rehearsal minds live work", runs(func(_ *policy.Active, in *policy.Input) { in.Mode = policy.DryRun }), refused},
	})
}

func TestSuppressWhile_PartsAreOr(t *testing.T) {
	f := newFixture()
	watched(f)
	said(f, 4*minute, upstream.Change{State: upstream.Unknown, Text: "away"})
	configure(f, func(u *policy.Upstream) { u.MaxSuppression = minute })
	require.Equal(t, policy.CodeApproval, policy.PolicySuppressWhile{}.Evaluate(f.in).Code)
	f.in.Policy.Settings.SuppressWhile.PolicyRunning = "restore"
	f.in.Active = []policy.Active{{Remediation: "r-1", Policy: "restore", Mode: policy.Live}}
	f.in.Approved = map[string]string{"suppress_while": "alice"}
	d := policy.Decide(f.in)
	require.Equal(t, policy.CodePolicyRunning, d.Code, "consent to the one does not hide the other")
	f.in.Active = nil
	require.Equal(t, policy.Execute, policy.Decide(f.in).Verdict)

	said(f, 0, upstream.Change{State: upstream.Incident, Text: "slow"})
	d = policy.Decide(f.in)
	require.Equal(t, policy.CodeUpstreamIncident, d.Code)
	require.Equal(t, at(minute), d.TellAt, "of the answer that refuses")
}
