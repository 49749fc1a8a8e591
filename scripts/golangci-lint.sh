#!/usr/bin/env bash
# Runs the golangci-lint that tools/golangci/go.mod pins. It is built once per
# version of that module and of Go, into the user's cache outside the tree.
set -euo pipefail
cd "$(dirname "$0")/.."

module=tools/golangci
version=$(cat $module/go.mod $module/go.sum <(go version) | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/remediator-tools
binary=$cache/golangci-lint-$version
if [ ! -x "$binary" ]; then
	echo "building golangci-lint (once)" >&2
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/build-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	(cd $module && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	mv "$work/golangci-lint" "$binary"
fi
"$binary" "$@"
