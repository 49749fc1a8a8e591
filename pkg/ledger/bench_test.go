package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stellarescrow/remediator/pkg/ledger"
)

const many = 10_000

// BenchmarkView_FiringWhere is one question of one decision in a storm.
func BenchmarkView_FiringWhere(b *testing.B) {
	h := newHistory()
	for i := range many {
		d := time.Duration(i) * time.Second
		h.firing(at(d), fmt.Sprintf("e-%d", i), fmt.Sprintf("fp-%d", i), at(d), ledger.CauseWebhook)
	}
	v := h.l.View(ledger.Live)
	none := func(labels map[string]string) bool { return labels["alertname"] == "nothing" }
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.FiringWhere("e-1", none); ok {
			b.Fatal("nothing matches")
		}
	}
}

// BenchmarkView_Streak asks about a policy with a long history.
func BenchmarkView_Streak(b *testing.B) {
	h := newHistory()
	for i := range many {
		h.worked(at(time.Duration(i)*minute), "e-1", "P", fmt.Sprintf("r-%d", i), target, "failed")
	}
	v := h.l.View(ledger.Live)
	b.ReportAllocs()
	for b.Loop() {
		if v.Streak("P").Failures != many {
			b.Fatal("each is a failure")
		}
	}
}
