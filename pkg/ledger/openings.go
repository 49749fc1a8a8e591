package ledger

import (
	"slices"
	"time"
)

// maxOpenings is how many openings of a fingerprint are remembered.
const maxOpenings = 100

// openings are the times at which episodes were opened or reopened, by
// fingerprint, in the order of records.
type openings map[string][]time.Time

func (os openings) add(fingerprint string, t time.Time) {
	list := append(os[fingerprint], t)
	if len(list) > maxOpenings {
		list = slices.Delete(list, 0, len(list)-maxOpenings)
	}
	os[fingerprint] = list
}

func (os openings) clamp(c clamp) {
	for _, list := range os {
		for i := range list {
			c.times(&list[i])
		}
	}
}

// Openings are the times at which episodes of a fingerprint were opened or
// reopened within Retain, oldest first, at most the newest 100.
func (v View) Openings(fingerprint string) []time.Time {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	out := slices.Clone(v.l.openings[fingerprint])
	slices.SortFunc(out, time.Time.Compare) // but for the skew between replicas they are
	return out
}
