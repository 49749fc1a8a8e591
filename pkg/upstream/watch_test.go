package upstream_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/upstream"
)

// page is a Source that answers what it is told to.
type page struct {
	mu     sync.Mutex
	answer any // guarded by mu; a Report, an error, or a func() (upstream.Answer, error)
	hang   bool
	looks  []time.Time // guarded by mu
	busy   bool        // guarded by mu
}

func (p *page) show(answer any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.hang = answer, answer == nil
}

func (p *page) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.looks)
}

func (p *page) Fetch(ctx context.Context) (upstream.Answer, error) {
	p.mu.Lock()
	if p.busy {
		panic("two looks at the same time")
	}
	p.busy = true
	p.looks = append(p.looks, time.Now())
	answer, hang := p.answer, p.hang
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.busy = false
		p.mu.Unlock()
	}()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select { // a look takes a second
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch answer := answer.(type) {
	case upstream.Report:
		return answer, nil
	case error:
		return nil, answer
	default:
		panic(answer)
	}
}

// journal is told of changes.
type journal struct {
	mu   sync.Mutex
	got  []upstream.Change // guarded by mu
	fail error             // guarded by mu
}

func (j *journal) changed(_ context.Context, c upstream.Change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return j.fail
	}
	j.got = append(j.got, c)
	return nil
}

func (j *journal) refuse(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

func (j *journal) states() (out []upstream.State) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.got {
		out = append(out, c.State)
	}
	return out
}

func watch(j *journal, cfg upstream.Config, p *page, seed *upstream.Change) *upstream.Watch {
	return upstream.NewWatch([]upstream.Watched{{Config: cfg, Source: p, Seed: seed}}, j.changed, upstream.Hooks{})
}

var trouble = report(upstream.Event{ID: "inc-1", Kind: upstream.KindIncident, Name: "Horizon degraded", Status: "identified", Impact: "major"})

func sleep(d time.Duration) {
	<-time.After(d) // virtual
	synctest.Wait()
}

func TestWatch_TellsWhatChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: report()}, &journal{}
		w := watch(j, config(), p, nil)
		w.Start(t.Context())
		w.Start(t.Context())
		defer w.Stop()
		sleep(10 * time.Minute)
		require.Equal(t, []upstream.State{upstream.Operational}, j.states())
		require.InDelta(t, 600/31, p.count(), 3, "every interval, with a little jitter")
		for i := 1; i < p.count(); i++ {
			require.InDelta(t, 31, p.looks[i].Sub(p.looks[i-1]).Seconds(), 3.1)
		}
		p.show(trouble)
		sleep(time.Minute)
		require.Equal(t, upstream.Incident, w.States()[0].Change.State)
		p.show(report())
		sleep(2 * time.Minute)
		require.Equal(t, []upstream.State{upstream.Operational, upstream.Incident, upstream.Operational}, j.states())
		require.WithinDuration(t, time.Now(), w.LastGood("stellar"), 35*time.Second)
		require.True(t, w.States()[0].NextPoll.After(time.Now().Add(-2*time.Second)))
		require.Zero(t, w.LastGood("nobody"))
	})
}

func TestWatch_UnknownIsKnownInTimeWhileThePageHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: report()}, &journal{}
		cfg := config()
		cfg.Interval, cfg.StaleAfter = time.Minute, 65*time.Second // it hangs from 1m to 1m10s
		w := watch(j, cfg, p, nil)
		w.Start(t.Context())
		defer w.Stop()
		sleep(2 * time.Second)
		p.show(nil)
		good := w.LastGood("stellar")
		sleep(time.Until(good.Add(cfg.StaleAfter)) - time.Millisecond)
		require.Equal(t, []upstream.State{upstream.Operational}, j.states())
		sleep(time.Millisecond)
		require.Equal(t, []upstream.State{upstream.Operational, upstream.Unknown}, j.states())
		sleep(20 * time.Second)
		require.Contains(t, w.States()[0].LastError, "deadline")
		require.Equal(t, good, w.LastGood("stellar"))
	})
}

func TestWatch_AsksAPageThatFailsLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: errPage}, &journal{}
		w := watch(j, config(), p, nil)
		w.Start(t.Context())
		defer w.Stop()
		sleep(3 * time.Minute)
		require.Equal(t, []upstream.State{upstream.Unknown}, j.states())
		sleep(57 * time.Minute)
		for i := 1; i < len(p.looks); i++ {
			require.LessOrEqual(t, p.looks[i].Sub(p.looks[i-1]), 91*time.Second, "half of stale_after and the look itself")
		}
		require.Less(t, p.count(), 60)
		p.show(report())
		sleep(91 * time.Second)
		require.Equal(t, []upstream.State{upstream.Unknown, upstream.Operational}, j.states())
	})
}

func TestWatch_TellsUntilItIsDurableAndOnlyThenShowsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: report()}, &journal{}
		undelivered := 0
		w := upstream.NewWatch([]upstream.Watched{{Config: config(), Source: p}}, j.changed,
			upstream.Hooks{Undelivered: func(upstream.Change, error, time.Duration) { undelivered++ }})
		w.Start(t.Context())
		defer w.Stop()
		sleep(2 * time.Second)
		good := w.LastGood("stellar")
		j.refuse(errors.New("disk full"))
		p.show(trouble)
		sleep(10 * time.Minute)
		require.Equal(t, good, w.LastGood("stellar"), "a page whose trouble is not durable was not well since")
		require.Equal(t, upstream.Operational, w.States()[0].Change.State)
		require.Greater(t, undelivered, 10)
		j.refuse(nil)
		sleep(15 * time.Second)
		require.Equal(t, []upstream.State{upstream.Operational, upstream.Incident, upstream.Unknown, upstream.Incident}, j.states(),
			"nobody asked for ten minutes; then the page was asked at once")
		require.Equal(t, upstream.Incident, w.States()[0].Change.State)
	})
}

func TestWatch_Refresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: report()}, &journal{}
		w := watch(j, config(), p, nil)
		w.Refresh(t.Context(), 0, "stellar") // not started: nothing to wait for
		w.Start(t.Context())
		for range 3 {
			go w.Refresh(t.Context(), 0, "stellar")
		}
		w.Refresh(t.Context(), 0, "stellar", "nobody")
		require.Equal(t, []upstream.State{upstream.Operational}, j.states())
		require.Equal(t, 1, p.count(), "all join the look that is under way")
		sleep(5 * time.Second)
		w.Refresh(t.Context(), 10*time.Second, "stellar")
		w.Refresh(t.Context(), 0)
		require.Equal(t, 1, p.count(), "it is new enough, and nobody was named")
		p.show(trouble)
		w.Refresh(t.Context(), time.Second, "stellar")
		require.Equal(t, []upstream.State{upstream.Operational, upstream.Incident}, j.states(), "told when it returns")

		p.show(errPage)
		sleep(2 * time.Second)
		w.Refresh(t.Context(), 0, "stellar")
		n := p.count()
		for range 100 {
			w.Refresh(t.Context(), 0, "stellar")
		}
		require.Equal(t, n, p.count(), "a page that just failed is not hammered")

		p.show(nil)
		sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		w.Refresh(ctx, 0, "stellar")
		require.Equal(t, time.Second, time.Since(began), "no longer than its context")
		go w.Refresh(t.Context(), 0, "stellar")
		synctest.Wait()
		w.Stop()
		w.Stop()
		w.Refresh(t.Context(), 0, "stellar")
		w.Start(t.Context())
	})
}

func TestWatch_AReloadMakesNothingUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: trouble}, &journal{}
		old := watch(j, config(), p, nil)
		old.Start(t.Context())
		sleep(2 * time.Second)
		p.show(report())
		sleep(35 * time.Second) // one good answer
		good := old.LastGood("stellar")

		guards := config()
		guards.MaxSuppression, guards.ResumeAfter = time.Hour, time.Minute
		replaced := &page{answer: errPage}
		next := watch(j, guards, replaced, nil)
		next.Adopt(old)
		require.Equal(t, good, next.LastGood("stellar"))
		require.Equal(t, upstream.Incident, next.States()[0].Change.State)
		next.Start(t.Context())
		sleep(35 * time.Second)
		require.Equal(t, []upstream.State{upstream.Incident, upstream.Operational}, j.states(), "the second good answer")
		require.Zero(t, replaced.count(), "the Source goes along")

		scope := config()
		scope.Components = []string{"Horizon"}
		other := &page{answer: report()}
		last := watch(j, scope, other, nil)
		last.Adopt(next)
		require.Zero(t, last.LastGood("stellar"), "another scope was never looked at")
		require.Equal(t, upstream.Operational, last.States()[0].Change.State)
		last.Adopt(nil)
		last.Start(t.Context())
		sleep(time.Minute)
		last.Stop()
		require.NotZero(t, other.count())
		require.Len(t, j.states(), 2)
	})
}

func TestWatch_AReloadKeepsWhatCouldNotBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: trouble}, &journal{fail: errors.New("disk full")}
		old := watch(j, config(), p, nil)
		old.Start(t.Context())
		sleep(5 * time.Second)
		next := watch(j, config(), p, nil)
		next.Adopt(old)
		j.refuse(nil)
		next.Start(t.Context())
		defer next.Stop()
		synctest.Wait()
		require.Equal(t, []upstream.State{upstream.Incident}, j.states())
	})
}

func TestWatch_Once(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := func(name string, answer any, seed upstream.State) upstream.Watched {
			cfg := config()
			cfg.Name = name
			u := upstream.Watched{Config: cfg, Source: &page{answer: answer, hang: answer == nil}}
			if seed != "" {
				u.Seed = &upstream.Change{Upstream: name, State: seed, Since: time.Now()}
			}
			return u
		}
		w := upstream.NewWatch([]upstream.Watched{
			one("new", report(), ""), one("same", report(), upstream.Operational), one("bad", trouble, upstream.Operational),
			one("ending", report(), upstream.Incident), one("down", errPage, upstream.Operational), one("hangs", nil, ""),
		}, nil, upstream.Hooks{})
		began := time.Now()
		changes := w.Once(t.Context())
		require.Equal(t, 10*time.Second, time.Since(began), "all at once")
		require.Len(t, changes, 2)
		require.Equal(t, "new", changes[0].Upstream)
		require.Equal(t, []any{"bad", upstream.Incident, upstream.Operational}, []any{changes[1].Upstream, changes[1].State, changes[1].Before})
		require.NotZero(t, w.LastGood("ending"))
		require.Zero(t, w.LastGood("down"))
		require.Equal(t, errPage.Error(), w.States()[4].LastError)
	})
}

func TestWatch_SurvivesAFormatThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: "neither report nor error"}, &journal{}
		var polled []error
		w := upstream.NewWatch([]upstream.Watched{{Config: config(), Source: p}}, j.changed,
			upstream.Hooks{Polled: func(_ string, err error, _ time.Duration) { polled = append(polled, err) }})
		w.Start(t.Context())
		sleep(4 * time.Minute)
		w.Stop()
		require.Equal(t, []upstream.State{upstream.Unknown}, j.states())
		require.ErrorContains(t, polled[0], "panic: neither")
	})
}

func TestWatch_NeverAsksWithoutPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, j := &page{answer: report()}, &journal{}
		w := watch(j, upstream.Config{Name: "stellar"}, p, nil) // no defaults were applied
		w.Start(t.Context())
		sleep(time.Minute)
		w.Stop()
		require.LessOrEqual(t, p.count(), 3)
		require.Equal(t, upstream.DefaultStaleAfter, w.Configs()[0].StaleAfter)
	})
}
