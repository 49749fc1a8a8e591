package dispatch

import (
	"container/heap"
	"time"
)

// Timers are keys with a time at which they fall due. Not safe for concurrent use.
type Timers struct {
	heap timerHeap
	byID map[string]*timer
}

type timer struct {
	key   string
	at    time.Time
	index int
}

// NewTimers has none.
func NewTimers() *Timers { return &Timers{byID: map[string]*timer{}} }

// Set makes a key due at a time, instead of any earlier setting.
func (t *Timers) Set(key string, at time.Time) {
	if old := t.byID[key]; old != nil {
		old.at = at
		heap.Fix(&t.heap, old.index)
		return
	}
	n := &timer{key: key, at: at}
	t.byID[key] = n
	heap.Push(&t.heap, n)
}

// Delete forgets a key.
func (t *Timers) Delete(key string) {
	if old := t.byID[key]; old != nil {
		heap.Remove(&t.heap, old.index)
		delete(t.byID, key)
	}
}

// Shift moves all keys by a duration: the clock was set.
func (t *Timers) Shift(by time.Duration) {
	for _, n := range t.heap {
		n.at = n.at.Add(by)
	}
}

// At is when a key falls due.
func (t *Timers) At(key string) (time.Time, bool) {
	if n := t.byID[key]; n != nil {
		return n.at, true
	}
	return time.Time{}, false
}

// Next is the earliest time at which something falls due.
func (t *Timers) Next() (time.Time, bool) {
	if len(t.heap) == 0 {
		return time.Time{}, false
	}
	return t.heap[0].at, true
}

// Due takes out and gives the keys that are due, earliest first.
func (t *Timers) Due(now time.Time) []string {
	var out []string
	for len(t.heap) > 0 && !t.heap[0].at.After(now) {
		n := heap.Pop(&t.heap).(*timer)
		delete(t.byID, n.key)
		out = append(out, n.key)
	}
	return out
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].key < h[j].key
	}
	return h[i].at.Before(h[j].at)
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	n := x.(*timer)
	n.index = len(*h)
	*h = append(*h, n)
}

func (h *timerHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	*h = old[:len(old)-1]
	return n
}
