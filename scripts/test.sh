#!/usr/bin/env bash
# The tests, each part with its time: all packages (unit, conformance and end to
# end, on the real engines), then the concurrent ones under the race detector.
# Nothing is skipped: a skipped test fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

part() {
	local name=$1 start=$SECONDS
	shift
	echo "== $name"
	if ! "$@" >"$log" 2>&1; then
		cat "$log"
		echo "== $name: failed after $((SECONDS - start))s" >&2
		exit 1
	fi
	if grep -E '^ *--- SKIP' "$log"; then
		echo "== $name: skipped tests are failures: install the engine that they miss" >&2
		exit 1
	fi
	grep -E '^(ok|FAIL)' "$log" || true
	echo "== $name: $((SECONDS - start))s"
}

# -v only so that a skipped test shows in the log; it is not printed.
part 'unit, conformance, end to end' env CGO_ENABLED=0 go test -v -count=1 -timeout 12m ./...

# Everything that runs concurrently is under pkg; what stands on containers is
# exercised above, where time limits are the engine's, not the detector's; breaking
# guards on purpose is about what they say, not about races.
mapfile -t packages < <(go list ./pkg/...)
part 'race' env CGO_ENABLED=1 go test -v -race -count=1 -short -skip TestMutation -timeout 12m "${packages[@]}"
