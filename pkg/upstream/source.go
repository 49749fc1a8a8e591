package upstream

import (
	"context"
	"time"
)

// Source reads the page of one configured upstream. A format of pages is one
// implementation of it, in a package of its own.
type Source interface {
	// Fetch looks at the page once. An error is no good answer, whatever its cause:
	// what cannot be read, or does not show what is configured, is not operational.
	// It returns when ctx ends. It is not called twice at the same time.
	Fetch(ctx context.Context) (Answer, error)
}

// Answer is one good answer of a page. What of it counts can change with time alone
// (ignore_monitoring_after, the window of a maintenance), so it is judged when it is
// used: a page that says "unchanged" is judged anew.
type Answer interface {
	// Judge gives what counts at now, within the upstream's scope. It is pure.
	Judge(now time.Time) Report
}

// Judge answers Report at any time: an Answer that does not change with time.
func (r Report) Judge(time.Time) Report { return r }
