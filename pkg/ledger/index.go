package ledger

import (
	"slices"
	"time"
)

// use is one effect of a remediation on a target, or in dry run what would have
// been one. An effect takes time: it counts until it has ended.
type use struct {
	target, remediation, policy string
	intent                      int // its index among the remediation's intents
	first, last                 time.Time
	planned                     bool
	open                        bool // an intent without a result
	lost                        bool // its result was never seen: recorded as unknown at the next start
}

// useKey files uses by target, "" for all of them, and planned ones apart.
type useKey struct {
	target  string
	planned bool
}

// uses are each list in the order of the effects' ends, so that a question about
// the last hour looks at the last hour only.
type uses map[useKey][]*use

func (us uses) add(u *use) {
	for _, t := range lists(u.target) {
		k := useKey{t, u.planned}
		us[k] = append(us[k], u)
	}
}

// lists that a target is filed in: its own, and that of all.
func lists(target string) []string {
	if target == "" {
		return []string{""}
	}
	return []string{target, ""}
}

// drop takes a use out, and gives it back. It is one of the newest: lists are
// searched from their ends.
func (us uses) drop(remediation, target string, intent int) *use {
	var found *use
	for _, t := range lists(target) {
		list := us[useKey{t, false}]
		for i, l := range slices.Backward(list) {
			if u := l; u.remediation == remediation && u.target == target && u.intent == intent {
				us[useKey{t, false}] = slices.Delete(list, i, i+1)
				found = u
				break
			}
		}
	}
	return found
}

// since calls fn for the uses of a target that ended after t, newest first, until
// it says no. Lists are in order but for the skew between replicas.
func (us uses) since(target string, planned bool, t time.Time, fn func(*use) bool) {
	keys := []useKey{{target, false}}
	if planned {
		keys = append(keys, useKey{target, true})
	}
	for _, k := range keys {
		list := us[k]
		for _, u := range slices.Backward(list) {
			if !t.IsZero() && u.last.Add(skew).Before(t) {
				break
			}
			if (t.IsZero() || u.last.After(t)) && !fn(u) {
				break
			}
		}
	}
}

// winKey files remediations that ended well, planned ones apart.
type winKey struct {
	policy, target string
	planned        bool
}

type wins map[winKey][]*Remediation

// lineKey files remediations under what their attempts are counted for.
type lineKey struct{ policy, lineage string }

type lineages map[lineKey][]*Remediation

func fileOnce[K comparable](m map[K][]*Remediation, k K, r *Remediation) {
	if !slices.Contains(m[k], r) {
		m[k] = append(m[k], r)
	}
}

// forget takes out of every list what is gone, and empty lists with it.
func forget[K comparable, V any, M ~map[K][]V](m M, gone func(V) bool) {
	for k, list := range m {
		if list = slices.DeleteFunc(list, gone); len(list) == 0 {
			delete(m, k)
		} else {
			m[k] = list
		}
	}
}

// seen knows which records of a replica were applied: everything from lo to hi,
// and a few beyond them where records came with gaps.
type seen map[string]*seqs

type seqs struct {
	lo, hi uint64
	beyond map[uint64]bool
}

// first says whether a record is new, and notes it. A record without seq always is.
func (s seen) first(replica string, seq uint64) bool {
	if seq == 0 {
		return true
	}
	q := s[replica]
	if q == nil {
		s[replica] = &seqs{lo: seq, hi: seq, beyond: map[uint64]bool{}}
		return true
	}
	if seq >= q.lo && seq <= q.hi || q.beyond[seq] {
		return false
	}
	q.beyond[seq] = true
	for q.beyond[q.hi+1] {
		q.hi++
		delete(q.beyond, q.hi)
	}
	for q.beyond[q.lo-1] {
		q.lo--
		delete(q.beyond, q.lo)
	}
	return true
}
