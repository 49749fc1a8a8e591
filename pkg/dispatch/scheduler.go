// Package dispatch says what runs when: a queue by severity and age, one lock per
// target, a bound on how many run at once, and timers. It decides nothing about
// whether to act and is driven from one goroutine.
package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Job is a remediation that waits for its targets and a slot.
type Job struct {
	ID      string
	Rank    int       // 1 is the most urgent
	Since   time.Time // start of the episode: the oldest goes first
	Targets []string
}

// Scheduler holds the queue, the locks and the slots. Not safe for concurrent use.
type Scheduler struct {
	max    int
	queue  []Job
	locks  map[string]string   // target -> job
	held   map[string][]string // job -> targets
	active map[string]bool     // jobs that occupy a slot
}

// NewScheduler runs at most max jobs at once (at least one).
func NewScheduler(limit int) *Scheduler {
	return &Scheduler{
		max: max(limit, 1), locks: map[string]string{}, held: map[string][]string{}, active: map[string]bool{},
	}
}

// SetMax changes the bound; running jobs are not disturbed.
func (s *Scheduler) SetMax(limit int) { s.max = max(limit, 1) }

// Enqueue adds a job. Its targets are sorted: locks are taken in name order.
func (s *Scheduler) Enqueue(j Job) {
	j.Targets = slices.Compact(slices.Sorted(slices.Values(j.Targets)))
	s.queue = append(s.queue, j)
	slices.SortStableFunc(s.queue, func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// Remove takes a job out of the queue.
func (s *Scheduler) Remove(id string) bool {
	n := len(s.queue)
	s.queue = slices.DeleteFunc(s.queue, func(j Job) bool { return j.ID == id })
	return len(s.queue) < n
}

// Queued are the waiting jobs in their order.
func (s *Scheduler) Queued() []Job { return slices.Clone(s.queue) }

// Next starts the most urgent job whose targets are all free, if a slot is free:
// it takes all its locks together. A job that waits for a lock holds up nobody.
func (s *Scheduler) Next() (Job, bool) {
	if len(s.active) >= s.max {
		return Job{}, false
	}
	for i, j := range s.queue {
		if !s.free(j.Targets) {
			continue
		}
		s.queue = slices.Delete(s.queue, i, i+1)
		s.Lock(j.ID, j.Targets)
		s.active[j.ID] = true
		return j, true
	}
	return Job{}, false
}

func (s *Scheduler) free(targets []string) bool {
	return !slices.ContainsFunc(targets, func(t string) bool { return s.locks[t] != "" })
}

// Lock gives targets to a job without a slot: a held one, or one found after a
// crash. A target that another job holds stays with that job.
func (s *Scheduler) Lock(id string, targets []string) {
	for _, t := range targets {
		if s.locks[t] == "" {
			s.locks[t] = id
			s.held[id] = append(s.held[id], t)
		}
	}
}

// Park frees the slot of a job that waits for people; its locks stay.
func (s *Scheduler) Park(id string) { delete(s.active, id) }

// Unpark takes a slot again, also beyond the bound: what has begun goes on.
func (s *Scheduler) Unpark(id string) { s.active[id] = true }

// Release frees a job's slot and locks.
func (s *Scheduler) Release(id string) {
	delete(s.active, id)
	for _, t := range s.held[id] {
		delete(s.locks, t)
	}
	delete(s.held, id)
}

// Busy maps each locked target to the job that holds it.
func (s *Scheduler) Busy() map[string]string { return maps.Clone(s.locks) }

// Running is the number of occupied slots.
func (s *Scheduler) Running() int { return len(s.active) }
