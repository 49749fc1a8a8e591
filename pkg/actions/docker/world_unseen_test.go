package docker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stellarescrow/remediator/pkg/services"
)

const ofIndexer = "docker:local/indexer"

// fickle is an engine that may refuse to list, or hang until it is asked no more.
type fickle struct {
	Reader
	list []Container
	past []Event
	fail error
	hang bool
}

func (f *fickle) Project(ctx context.Context, _ string) ([]Container, error) {
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.list, f.fail
}

func (f *fickle) Past(context.Context, string, time.Time, time.Time) ([]Event, error) {
	return f.past, nil
}

// watching gives a Watcher of an engine whose indexer a person stopped an hour ago.
func watching(at time.Time) (*fickle, *Watcher) {
	died := at.Add(-time.Hour)
	c := Container{
		ID: "c1", Name: "p-indexer-1", Labels: map[string]string{labelService: "indexer", labelDepends: "db"},
		Status: statusExited, StartedAt: died.Add(-time.Hour), FinishedAt: died,
	}
	f := &fickle{list: []Container{c}, past: []Event{
		{ID: "c1", Action: "start", Time: died.Add(-time.Hour)},
		{ID: "c1", Action: "kill", Signal: "15", Time: died.Add(-time.Second)},
		{ID: "c1", Action: "die", Time: died},
	}}
	e := &Engines{list: []*engine{{Config: Config{Name: "local", Project: "p", Services: []string{"indexer"}}, reader: f}}}
	return f, e.Watch(WatchOptions{})
}

// remembered is what must be said of the indexer while nobody can look at it.
func remembered(t *testing.T, before, s services.Service) {
	t.Helper()
	require.Equal(t, services.Unknown, s.State)
	require.Contains(t, s.Text, "docker local cannot be looked at")
	require.Equal(t, services.Stopped, s.Last)
	require.Equal(t, before.Since, s.Since)
	require.Equal(t, before.DependsOn, s.DependsOn)
	require.Equal(t, before.Stops, s.Stops)
}

func TestWatcher_RemembersWhatItCannotSee(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		fickle    func(*fickle)
		patience  time.Duration // of who asks
		published bool          // for all, not for who asked alone
	}{
		"refused":                      {func(f *fickle) { f.fail = refused }, time.Hour, true},
		"hangs for longer than a look": {func(f *fickle) { f.hang = true }, time.Hour, true},
		"hangs for as long":            {func(f *fickle) { f.hang = true }, lookBound, true},
		"hangs for longer than asked":  {func(f *fickle) { f.hang = true }, time.Second, true},
		"nobody waits for the answer":  {func(f *fickle) { f.hang = true }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, w := watching(time.Now())
				require.Empty(t, w.World().Get(ofIndexer).Last, "never seen")
				_, err := w.Refresh(t.Context())
				require.NoError(t, err)
				before := w.World().Get(ofIndexer)
				require.Equal(t, services.Stopped, before.State)
				require.Empty(t, before.Last)
				require.Equal(t, services.ByKill, before.Stops[0].Cause)
				require.NotEmpty(t, before.DependsOn)

				<-time.After(time.Minute) // of the bubble
				c.fickle(f)
				ctx, cancel := context.WithTimeout(t.Context(), c.patience)
				defer cancel()
				if c.patience == 0 {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(time.Second, cancel)
				}
				given, err := w.Refresh(ctx)
				require.Error(t, err)
				remembered(t, before, given.Get(ofIndexer))
				if c.published {
					remembered(t, before, w.World().Get(ofIndexer))
				} else {
					require.Equal(t, before, w.World().Get(ofIndexer))
				}

				f.fail, f.hang = nil, false
				_, err = w.Refresh(t.Context())
				require.NoError(t, err)
				require.Equal(t, before, w.World().Get(ofIndexer))
			})
		})
	}
}

// Two look at an engine that hangs, the second of whom does not even get to ask.
func TestWatcher_IsLostToThoseWhoWaitToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w := watching(time.Now())
		_, err := w.Refresh(t.Context())
		require.NoError(t, err)
		f.hang = true
		go func() { _, _ = w.Refresh(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = w.Refresh(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, services.Unknown, w.World().Get(ofIndexer).State)
		synctest.Wait()
	})
}

func TestWatched_OneContainerThatCannotBeLookedAt(t *testing.T) {
	now := time.Now()
	labels := map[string]string{labelService: "indexer"}
	up := Container{ID: "a", Name: "p-indexer-1", Labels: labels, Status: statusRunning, StartedAt: now.Add(-time.Hour), RestartCount: 5}
	down := Container{ID: "b", Name: "p-indexer-2", Labels: labels, Status: statusExited, FinishedAt: now.Add(-time.Minute)}
	blind := func(c Container) Container {
		return Container{ID: c.ID, Name: c.Name, Labels: c.Labels, Error: "timeout"}
	}
	en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"indexer"}}})
	en.takeAll([]Container{blind(up)}, now)
	s := en.services(nil, now)[0]
	require.Equal(t, services.Unknown, s.State)
	require.Empty(t, s.Last, "never seen")
	require.Equal(t, "p-indexer-1 cannot be looked at: timeout", s.Text)

	en.takeAll([]Container{up, down}, now)
	require.Equal(t, services.Stopped, en.services(nil, now)[0].State)
	en.takeAll([]Container{blind(up), blind(down)}, now)
	s = en.services(nil, now)[0]
	require.Equal(t, services.Unknown, s.State)
	require.Equal(t, services.Stopped, s.Last)
	require.Len(t, s.Stops, 1)
	require.Equal(t, "b", s.Stops[0].Container)

	en.takeAll([]Container{up}, now)
	s = en.services(nil, now)[0]
	require.Equal(t, services.Running, s.State, "not to have been seen is no restart")
	require.Empty(t, s.Last)
	require.Empty(t, s.Stops)
	require.Empty(t, en.blind)
}

// The events go on while a look hangs: what they tell of a stop counts.
func TestWatched_HearsOfAStopThatItCannotSee(t *testing.T) {
	now := time.Now()
	c := Container{ID: "c", Name: "p-indexer-1", Labels: map[string]string{labelService: "indexer"}, Status: statusRunning, StartedAt: now.Add(-time.Hour)}
	en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"indexer"}}})
	en.takeAll([]Container{c}, now)
	hang := errors.New("hangs")
	require.Empty(t, en.services(hang, now)[0].Stops)
	en.hear(Event{ID: "c", Action: "kill", Signal: "15", Time: now.Add(time.Second)})
	require.Empty(t, en.services(hang, now)[0].Stops, "it lives")
	en.hear(Event{ID: "c", Action: "die", Time: now.Add(2 * time.Second)})
	s := en.services(hang, now)[0]
	require.Equal(t, []services.Stop{{Container: "c", Name: "p-indexer-1", Cause: services.ByKill, At: now.Add(2 * time.Second), Killed: now.Add(time.Second)}}, s.Stops)
	require.Equal(t, services.Running, s.Last, "as it was seen")
	en.hear(Event{ID: "c", Action: "start", Time: now.Add(3 * time.Second)})
	require.Empty(t, en.services(hang, now)[0].Stops, "it runs again")
}

// A crash loop was one, however long ago it was last seen.
func TestWatched_TheLastStateDoesNotAge(t *testing.T) {
	now := time.Now()
	c := Container{ID: "c", Status: statusRunning, Labels: map[string]string{labelService: "api"}}
	en := newWatched(&engine{Config: Config{Name: "local", Services: []string{"api", "gone"}}})
	require.Empty(t, en.services(errNotYet, now)[0].Last, "never seen")
	en.takeAll([]Container{c}, now)
	c.RestartCount = loopStarts
	en.takeAll([]Container{c}, now)
	require.Equal(t, services.Unhealthy, en.services(nil, now)[0].State)
	then := en.services(errors.New("hangs"), now.Add(time.Hour))
	require.Equal(t, services.Unhealthy, then[0].Last)
	require.Equal(t, services.Missing, then[1].Last)
}
