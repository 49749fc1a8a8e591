package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestScheduler_SeverityThenAge(t *testing.T) {
	s := NewScheduler(1)
	t0 := time.Unix(1000, 0)
	s.Enqueue(Job{ID: "p2-old", Rank: 2, Since: t0, Targets: []string{"a"}})
	s.Enqueue(Job{ID: "p1-new", Rank: 1, Since: t0.Add(time.Hour), Targets: []string{"b"}})
	s.Enqueue(Job{ID: "p1-old", Rank: 1, Since: t0, Targets: []string{"c"}})
	var order []string
	for j, ok := s.Next(); ok; j, ok = s.Next() {
		order = append(order, j.ID)
		_, more := s.Next()
		require.False(t, more, "one slot runs one job")
		s.Release(j.ID)
	}
	require.Equal(t, []string{"p1-old", "p1-new", "p2-old"}, order)
}

func TestScheduler_WaitingForALockHoldsUpNobody(t *testing.T) {
	s := NewScheduler(3)
	s.Lock("held", []string{"a"})
	s.Enqueue(Job{ID: "urgent", Rank: 1, Targets: []string{"a", "b"}})
	s.Enqueue(Job{ID: "other", Rank: 4, Targets: []string{"b"}})
	j, ok := s.Next()
	require.True(t, ok)
	require.Equal(t, "other", j.ID)
	s.Release("other")
	_, ok = s.Next()
	require.False(t, ok)
	s.Release("held")
	j, ok = s.Next()
	require.True(t, ok)
	require.Equal(t, "urgent", j.ID)
	require.Equal(t, map[string]string{"a": "urgent", "b": "urgent"}, s.Busy())
}

func TestScheduler_ParkFreesTheSlotAndKeepsTheLocks(t *testing.T) {
	s := NewScheduler(1)
	s.Enqueue(Job{ID: "one", Targets: []string{"a"}})
	s.Enqueue(Job{ID: "two", Targets: []string{"b"}})
	_, ok := s.Next()
	require.True(t, ok)
	s.Park("one")
	j, ok := s.Next()
	require.True(t, ok)
	require.Equal(t, "two", j.ID)
	require.Equal(t, "one", s.Busy()["a"])
	s.Unpark("one")
	require.Equal(t, 2, s.Running())
}

func TestScheduler_NeverTwoOnOneTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "max")
		s := NewScheduler(limit)
		running := map[string]Job{}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": func(t *rapid.T) {
				n++
				s.Enqueue(Job{
					ID: fmt.Sprintf("j%d", n), Rank: rapid.IntRange(1, 4).Draw(t, "rank"),
					Targets: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4).Draw(t, "targets"),
				})
			},
			"next": func(*rapid.T) {
				if j, ok := s.Next(); ok {
					running[j.ID] = j
				}
			},
			"release": func(t *rapid.T) {
				for id := range running {
					s.Release(id)
					delete(running, id)
					break
				}
			},
			"": func(t *rapid.T) {
				require.LessOrEqual(t, len(running), limit)
				owner := map[string]string{}
				for id, j := range running {
					for _, target := range j.Targets {
						require.Empty(t, owner[target], "two jobs on one target")
						owner[target] = id
					}
				}
				require.Equal(t, owner, s.Busy())
			},
		})
	})
}

func TestTimers_DueInOrder(t *testing.T) {
	tm := NewTimers()
	t0 := time.Unix(0, 0)
	tm.Set("late", t0.Add(3*time.Second))
	tm.Set("early", t0.Add(time.Second))
	tm.Set("moved", t0.Add(9*time.Second))
	tm.Set("moved", t0.Add(2*time.Second))
	tm.Set("gone", t0)
	tm.Delete("gone")
	at, ok := tm.Next()
	require.True(t, ok)
	require.Equal(t, t0.Add(time.Second), at)
	require.Equal(t, []string{"early", "moved"}, tm.Due(t0.Add(2*time.Second)))
	require.Equal(t, []string{"late"}, tm.Due(t0.Add(time.Hour)))
	_, ok = tm.Next()
	require.False(t, ok)
}
