# Everything here needs Go, make and bash. `make test` and `make servers` get
# the real servers themselves: from the environment (SLUICE_TEST_*), from the
# machine, or by its package managers into the user's cache.

SHELL   := bash
GO      ?= go
BIN     := .bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

# What `make demo` passes on, as in: make demo ARGS=--once
ARGS     ?=
# What `make test` and `make unit` test: make test PKG=./sinks/... TESTFLAGS='-run TestX'
# Packages are begun in this order, so those that take longest are named first.
PKG       ?= ./cmd/sluice ./benchmarks/soak ./sinks/mongoagg ./sinks/mongoraw ./internal/archive ./...
TESTFLAGS ?=
# What `make bench` passes on, as in: make bench BENCH='-short -only csv'
BENCH    ?=
# How long each fuzz target runs.
FUZZTIME ?= 30s

.PHONY: help
help:
	@echo 'make demo     the whole pipeline on made-up traffic, with a console in the browser'
	@echo 'make build    ./sluice'
	@echo 'make test     every test with the race detector, against real servers that it starts and ends'
	@echo 'make unit     the tests that need no servers'
	@echo 'make servers  start the real servers, print their addresses, end them on ^C'
	@echo 'make bench    speed and memory from end to end, against the baseline; BENCH=-short for less'
	@echo 'make fuzz     every fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make lint     gofmt, vet, staticcheck, the direction of imports'
	@echo 'make fmt      format the code'

.PHONY: build
build:
	$(GO) build -ldflags '$(LDFLAGS)' -o sluice ./cmd/sluice

.PHONY: demo
demo:
	@$(GO) run -ldflags '$(LDFLAGS)' ./cmd/sluice demo $(ARGS)

# A test that hangs is ended with the stacks of all its goroutines well before
# a build machine gives up on the whole run. Much of the time is spent waiting
# for leases, elections and servers, so more runs at once than there are cores.
# Vet is a part of `make lint`.
.PHONY: test
test: $(BIN)/servers $(BIN)/gotest
	@$(BIN)/servers -- $(BIN)/gotest -race -count=1 -timeout=40m -vet=off -p=2 -parallel=4 $(TESTFLAGS) $(PKG)

.PHONY: unit
unit:
	$(GO) test -timeout=5m $(TESTFLAGS) $(PKG)

.PHONY: servers
servers: $(BIN)/servers
	@$(BIN)/servers $(ARGS)

.PHONY: bench
bench: $(BIN)/servers
	@$(GO) build -o $(BIN)/e2e ./benchmarks/e2e
	@$(BIN)/servers -only redis,mongo,opensearch,s3 -- $(BIN)/e2e -json $(BIN)/bench.json -compare benchmarks/baseline.json $(BENCH)

.PHONY: fuzz
fuzz:
	@.ci/fuzz $(FUZZTIME)

.PHONY: lint
lint:
	@.ci/lint

.PHONY: fmt
fmt:
	gofmt -w .

# Built and not `go run`, which would swallow exit codes and signals. The go
# command decides whether there is something to do.
.PHONY: FORCE
$(BIN)/%: FORCE
	@$(GO) build -o $@ ./internal/testenv/$*
