// Package imports holds no code: its test keeps the packages' imports going one
// way (docs/architecture.md), because a direction that is only written down is lost
// with the first convenient import.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/stellarescrow/remediator/"

// rule: what is reached from a package must not be among forbidden, for a reason.
// A trailing "/..." takes in everything below.
type rule struct {
	from      string
	forbidden []string
	why       string
}

var (
	network  = []string{"net", "net/http", "net/rpc", "net/smtp"}
	stores   = []string{"database/sql", "github.com/jackc/pgx/...", "modernc.org/sqlite", "pkg/audit/..."}
	docker   = []string{"github.com/docker/docker/..."}
	programs = []string{"os/exec"}
	above    = []string{"pkg/dispatch", "pkg/engine", "pkg/handlers/...", "pkg/config/...", "pkg/app", "cmd/..."}
)

// rules of the directions, transitively. The order is the way of the data.
var rules = []rule{
	{
		"pkg/alert", join(network, stores, docker, programs, above, []string{"pkg/audit", "pkg/ledger", "pkg/policy", "pkg/actions/..."}),
		"what came in knows nothing of what becomes of it",
	},
	{
		"pkg/audit", join(network, docker, programs, above, []string{"pkg/audit/sqlite", "pkg/audit/postgres", "database/sql", "pkg/ledger", "pkg/policy", "pkg/actions/..."}),
		"drivers import the journal, never the other way round",
	},
	{
		"pkg/ledger", join(network, stores, docker, programs, above, []string{"pkg/policy", "pkg/actions/..."}),
		"history is projected from records and from nothing else",
	},
	{
		"pkg/policy", join(network, stores, docker, programs, above, []string{"pkg/actions/..."}),
		"decisions are pure: no network, no store, no program",
	},
	{
		"pkg/actions", join(network, stores, docker, programs, above, []string{"pkg/actions/..."}),
		"the contract of actions knows none of them",
	},
	{
		"pkg/dispatch", join(network, stores, docker, programs, []string{"pkg/engine", "pkg/handlers/...", "pkg/config/...", "pkg/app", "pkg/actions/..."}),
		"queues, locks and timers do not know what they run",
	},
	{
		"pkg/engine", join(network, stores, docker, programs, []string{"pkg/actions/...", "pkg/handlers/...", "pkg/config/...", "pkg/app", "cmd/..."}),
		"stages know no technology: it comes through pkg/actions' interfaces",
	},
	{
		"pkg/handlers", join(docker, stores, []string{"pkg/engine", "pkg/dispatch", "pkg/actions/...", "pkg/config/...", "pkg/app", "cmd/..."}),
		"handlers speak HTTP only and ask through their own interfaces",
	},
	{
		"pkg/config", join(docker, stores, []string{"pkg/engine", "pkg/dispatch", "pkg/actions/docker", "pkg/app", "cmd/..."}),
		"what is configured is built by pkg/app",
	},
	{"pkg/app", []string{"cmd/..."}, "the composition root is used by programs, not the other way round"},
}

// onlyFrom: these may be imported directly by the named packages only.
var onlyFrom = []struct {
	imported string
	by       []string
	why      string
}{
	{
		"github.com/docker/docker/...",
		[]string{"pkg/actions/docker", "test/lab", "internal/deps"},
		"the client is deprecated: the change to moby/moby/client must stay one package",
	},
	{"modernc.org/sqlite", []string{"pkg/audit/sqlite", "internal/deps"}, "a store is behind audit.Driver"},
	{"database/sql", []string{"pkg/audit/sqlite"}, "a store is behind audit.Driver"},
	{"pkg/app", []string{"cmd/remediator"}, "there is one composition root and one program"},
}

// granted are single imports that the rules overlook, each with its reason.
var granted = map[[2]string]string{
	{"pkg/alert", "net/http"}:       "for the constants of HTTP status codes only",
	{"go.uber.org/zap", "net/http"}: "a handler to change the log level, which is not used",
}

func join(lists ...[]string) []string { return slices.Concat(lists...) }

// matches a package, written without the module's own prefix, against a pattern. A
// pattern with "/..." takes in what is below it, not the package itself where that
// is ours: pkg/actions is a contract, pkg/actions/docker is not.
func matches(pattern, pkg string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	if !below {
		return pattern == pkg
	}
	if strings.HasPrefix(pkg, root+"/") {
		return true
	}
	return pkg == root && !slices.Contains([]string{"pkg/actions", "pkg/audit"}, root)
}

// load gives the direct imports of every package that the module's packages reach.
func load(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	graph := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return graph
		}
		require.NoError(t, err)
		for i, dep := range p.Imports {
			p.Imports[i] = strings.TrimPrefix(dep, module)
		}
		graph[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
	}
}

// path finds the shortest way from a package to one that a pattern forbids.
func path(graph map[string][]string, from, pattern string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && matches(pattern, at) {
			way := []string{at}
			for at = came[at]; at != ""; at = came[at] {
				way = append([]string{at}, way...)
			}
			return way
		}
		for _, dep := range graph[at] {
			if _, seen := came[dep]; seen || granted[[2]string{at, dep}] != "" {
				continue
			}
			came[dep] = at
			queue = append(queue, dep)
		}
	}
	return nil
}

func TestImports_GoOneWay(t *testing.T) {
	graph := load(t)
	for _, r := range rules {
		require.Contains(t, graph, r.from, "a rule for a package that is not there")
		for _, pattern := range r.forbidden {
			if way := path(graph, r.from, pattern); way != nil {
				t.Errorf("%s must not reach %s: %s\n  %s", r.from, pattern, r.why, strings.Join(way, "\n  -> "))
			}
		}
	}
}

func TestImports_OneOwnerEach(t *testing.T) {
	graph := load(t)
	for _, o := range onlyFrom {
		found := false
		for pkg, deps := range graph {
			ours := strings.HasPrefix(pkg, "pkg/") || strings.HasPrefix(pkg, "cmd/") || strings.HasPrefix(pkg, "internal/") || strings.HasPrefix(pkg, "test/")
			if !ours || !slices.ContainsFunc(deps, func(d string) bool { return matches(o.imported, d) }) {
				continue
			}
			found = true
			if !slices.Contains(o.by, pkg) {
				t.Errorf("%s must not import %s, only %s may: %s", pkg, o.imported, strings.Join(o.by, ", "), o.why)
			}
		}
		require.True(t, found, "nothing imports %s: the rule guards nothing", o.imported)
	}
}

// The search itself, on a graph where the answer is known.
func TestPath_FindsTheWay(t *testing.T) {
	graph := map[string][]string{
		"pkg/policy": {"fmt", "pkg/ledger"}, "pkg/ledger": {"pkg/helper", "pkg/alert"}, "pkg/helper": {"net/http"},
		"pkg/alert": {"net/http"}, "pkg/engine": {"pkg/actions", "pkg/alert"}, "pkg/actions": {"time"},
	}
	require.Equal(t, []string{"pkg/policy", "pkg/ledger", "pkg/helper", "net/http"}, path(graph, "pkg/policy", "net/http"))
	require.Nil(t, path(graph, "pkg/engine", "net/http"), "the one import that is granted")
	require.Nil(t, path(graph, "pkg/engine", "pkg/actions/..."), "the contract is not its kinds")
	graph["pkg/actions"] = []string{"pkg/actions/docker"}
	require.NotNil(t, path(graph, "pkg/engine", "pkg/actions/..."))
	require.NotNil(t, path(map[string][]string{"a": {"pkg/handlers"}}, "a", "pkg/handlers/..."))
}
