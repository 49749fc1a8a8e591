# What people and CI run. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/stellarescrow/remediator/pkg/app.version=$(VERSION)
IMAGE   ?= remediator:$(VERSION)
SOAK    ?= ./...
# what the image trusts, besides what is mounted
CA_CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt

.PHONY: help build test check lint engines soak bench demo image clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: dist/remediator ## the static program, dist/remediator

dist/remediator: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/remediator

test: engines ## unit, conformance, end to end and race, on the real engines
	scripts/test.sh

check: ## exactly what CI runs
	@unformatted=$$(gofmt -l cmd internal pkg test); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	go vet ./...
	go mod verify
	$(MAKE) lint
	$(MAKE) build
	$(MAKE) test
	git diff --exit-code

lint: ## golangci-lint, at the version of tools/golangci
	scripts/golangci-lint.sh run ./...

engines: ## install (root on Debian) or name what is missing; start the Docker Engine
	scripts/engines.sh

soak: engines ## long storms and histories; SOAK=./pkg/... narrows it
	REMEDIATOR_SOAK=1 go test -count=1 -timeout 3h -run 'Soak|Histories' $(SOAK)

bench: ## benchmarks
	go test -run '^$$' -bench . -benchmem ./pkg/...

demo: ## dry run, then live: a wedged container is restarted, under two minutes
	go run ./test/demo

image: dist/remediator ## the container image, from scratch
	install -D -m 644 $(CA_CERTIFICATES) dist/rootfs/etc/ssl/certs/ca-certificates.crt
	docker build -t $(IMAGE) .

clean: ## remove what build made
	rm -rf dist
