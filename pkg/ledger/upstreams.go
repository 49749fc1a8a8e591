package ledger

import (
	"encoding/json"
	"time"

	"github.com/stellarescrow/remediator/pkg/audit"
	"github.com/stellarescrow/remediator/pkg/upstream"
)

// Upstream is the recorded state of an upstream.
type Upstream struct {
	upstream.Change
	Recorded time.Time // of the record
}

// upstreams are the newest states by name. They are never forgotten: a page that
// has been well for a month has left no record since.
type upstreams map[string]*Upstream

func (us upstreams) change(r *audit.Record) {
	var c upstream.Change
	if json.Unmarshal(r.Data, &c) != nil || c.Upstream == "" {
		return
	}
	us[c.Upstream] = &Upstream{Change: c, Recorded: r.Time.Time}
}

func (us upstreams) clamp(c clamp) {
	for _, u := range us {
		c.times(&u.Recorded, &u.Ended, &u.Since)
	}
}

// Upstream by name: the newest upstream.changed.
func (v View) Upstream(name string) (Upstream, bool) {
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	u := v.l.upstreams[name]
	if u == nil {
		return Upstream{}, false
	}
	return *u, true
}
