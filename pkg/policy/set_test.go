package policy_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stellarescrow/remediator/pkg/policy"
)

func firingPolicy(name string, alternatives ...labels.Matchers) *policy.Policy {
	return &policy.Policy{Name: name, On: policy.OnFiring, Matchers: alternatives}
}

func names(ps []*policy.Policy) []string {
	out := []string{}
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

func TestSet_FirstMatchWinsUnlessItContinues(t *testing.T) {
	a := firingPolicy("a", matchers(t, `alertname="Down"`))
	b := firingPolicy("b", matchers(t, `job="api"`))
	c := firingPolicy("c", matchers(t, `alertname=~"Down|Up"`))
	set := policy.NewSet([]*policy.Policy{a, b, c})
	down := map[string]string{"alertname": "Down", "job": "api"}
	require.Equal(t, []string{"a"}, names(set.Match(down, policy.OnFiring)))
	a.Continue = true
	require.Equal(t, []string{"a", "b"}, names(set.Match(down, policy.OnFiring)))
	require.Equal(t, []string{"c"}, names(set.Match(map[string]string{"alertname": "Up"}, policy.OnFiring)))
	require.Empty(t, set.Match(map[string]string{"alertname": "Other"}, policy.OnFiring))
}

func TestSet_StatusChooses(t *testing.T) {
	up := firingPolicy("up", matchers(t, `alertname="Down"`))
	up.On = policy.OnResolved
	down := firingPolicy("down", matchers(t, `alertname="Down"`))
	set := policy.NewSet([]*policy.Policy{up, down})
	l := map[string]string{"alertname": "Down"}
	require.Equal(t, []string{"down"}, names(set.Match(l, policy.OnFiring)), "one for the other status shadows nothing")
	require.Equal(t, []string{"up"}, names(set.Match(l, policy.OnResolved)))
	require.Equal(t, up, set.Other(l, policy.OnFiring))
	require.Equal(t, down, set.Other(l, policy.OnResolved))
	require.Nil(t, set.Other(map[string]string{}, policy.OnResolved))
}

func TestSet_ManualPoliciesMatchNothing(t *testing.T) {
	l := map[string]string{"alertname": "Down"}
	manual := firingPolicy("manual", matchers(t, `alertname="Down"`))
	manual.Manual = true
	open := firingPolicy("open", matchers(t, `alertname!="Up"`))
	open.Manual = true
	next := firingPolicy("next", matchers(t, `alertname="Down"`))
	set := policy.NewSet([]*policy.Policy{manual, open, next})
	require.Equal(t, []string{"next"}, names(set.Match(l, policy.OnFiring)))
	require.Equal(t, next, set.Other(l, policy.OnResolved))
	require.Equal(t, []string{"manual", "open", "next"}, names(set.Policies()), "a run finds it by its name")
	require.Nil(t, policy.NewSet([]*policy.Policy{manual, open}).Other(l, policy.OnResolved))
}

func TestSet_OwnAlertsMatchNothing(t *testing.T) {
	set := policy.NewSet([]*policy.Policy{firingPolicy("all", matchers(t, `alertname=~".+"`))})
	l := map[string]string{"alertname": "RemediatorEscalation", "source": "remediator"}
	require.True(t, policy.Own(l))
	require.Empty(t, set.Match(l, policy.OnFiring))
	require.Nil(t, set.Other(l, policy.OnResolved))
	l["source"] = "prometheus"
	require.Len(t, set.Match(l, policy.OnFiring), 1)
}

func TestPolicy_EmptySelectorNeverMeansEverything(t *testing.T) {
	l := map[string]string{"alertname": "Down"}
	require.False(t, firingPolicy("none").Matches(l))
	require.False(t, firingPolicy("empty", labels.Matchers{}).Matches(l))
	require.True(t, firingPolicy("missing is empty", matchers(t, `job=""`)).Matches(l))
}

var (
	words = []string{"", "Down", "Up", "DownUp", "down", "Do", "A", "B", "n"}
	exprs = []string{
		"Down|Up", "(Down|Up)", "D(own|o)?", "Do(wn)", "(?i)down", "[AB]", "[^A]", ".*", "", "Down.*", "|Down",
		"(A|B|)(n|Up)?", "^Down$", "Do|Down|Up", "(?:Down(Up|))", "[[:upper:]]", "\\QDown\\E", "A{1}", "[A-Zn]", "Dow[n]", "(A|B)(A|B)",
	}
)

func anyMatcher(t *rapid.T) *labels.Matcher {
	kind := rapid.SampledFrom([]labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp}).Draw(t, "kind")
	from := words
	if kind == labels.MatchRegexp || kind == labels.MatchNotRegexp {
		from = exprs
	}
	name := rapid.SampledFrom([]string{"alertname", "alertname", "job"}).Draw(t, "name")
	m, err := labels.NewMatcher(kind, name, rapid.SampledFrom(from).Draw(t, "value"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func anyPolicies(t *rapid.T) []*policy.Policy {
	out := make([]*policy.Policy, rapid.IntRange(0, 8).Draw(t, "policies"))
	for i := range out {
		p := &policy.Policy{
			Name: fmt.Sprint(i), Continue: rapid.Bool().Draw(t, "continue"),
			On: rapid.SampledFrom([]string{policy.OnFiring, policy.OnResolved}).Draw(t, "on"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "alternatives") {
			var ms labels.Matchers
			for range rapid.IntRange(0, 3).Draw(t, "matchers") {
				ms = append(ms, anyMatcher(t))
			}
			p.Matchers = append(p.Matchers, ms)
		}
		out[i] = p
	}
	return out
}

// scan is what the index must equal.
func scan(ps []*policy.Policy, set map[string]string, status string) []*policy.Policy {
	var out []*policy.Policy
	for _, p := range ps {
		if p.On == status && p.Matches(set) {
			out = append(out, p)
			if !p.Continue {
				break
			}
		}
	}
	return out
}

func TestSet_IndexEqualsScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := anyPolicies(t)
		set := policy.NewSet(ps)
		for range 8 {
			l := map[string]string{}
			for _, name := range []string{"alertname", "job"} {
				if v := rapid.SampledFrom(append(words, "-")).Draw(t, name); v != "-" {
					l[name] = v
				}
			}
			for _, status := range []string{policy.OnFiring, policy.OnResolved} {
				require.Equal(t, names(scan(ps, l, status)), names(set.Match(l, status)), "%v %v", l, status)
			}
		}
	})
}

func TestStricter_DryRunUnlessBothAreLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]policy.Mode{"", policy.DryRun, policy.Live})
		a, b := mode.Draw(t, "a"), mode.Draw(t, "b")
		got := policy.Stricter(a, b)
		require.Equal(t, policy.Stricter(b, a), got)
		require.Equal(t, got, policy.Stricter(got, a), "asking twice changes nothing")
		require.Contains(t, []policy.Mode{policy.DryRun, policy.Live}, got)
		if a == policy.DryRun || b == policy.DryRun || a == "" && b == "" {
			require.Equal(t, policy.DryRun, got)
		} else {
			require.Equal(t, policy.Live, got)
		}
	})
}

func TestSeverityRank_Orders(t *testing.T) {
	for i, s := range []string{"P1", "P2", "P3", "P4"} {
		require.Equal(t, i+1, policy.SeverityRank(s))
	}
	require.Equal(t, 4, policy.SeverityRank(""))
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000} {
		var ps []*policy.Policy
		for i := range n {
			ps = append(ps, firingPolicy(fmt.Sprint(i), matchers(b, fmt.Sprintf(`alertname=~"Alert%d|Other%d"`, i, i), `job="api"`)))
		}
		set := policy.NewSet(ps)
		l := map[string]string{"alertname": fmt.Sprintf("Alert%d", n-1), "job": "api"}
		b.Run(fmt.Sprintf("index/%d", n), func(b *testing.B) {
			for b.Loop() {
				set.Match(l, policy.OnFiring)
			}
		})
		b.Run(fmt.Sprintf("scan/%d", n), func(b *testing.B) {
			for b.Loop() {
				scan(ps, l, policy.OnFiring)
			}
		})
	}
}
