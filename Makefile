# Everything that people and CI do here. `make demo` and `make test` need Go, a
# Docker Engine, and nothing else that they don't bring themselves.

SHELL := /bin/sh
export CGO_ENABLED ?= 0
export PATH := $(CURDIR)/bin/tools:$(PATH)

GO      ?= go
LDFLAGS := -s -w
BUILD   := $(GO) build -trimpath -ldflags '$(LDFLAGS)'

.PHONY: all build man cross demo demo-offline test lint bench bench-bus chaos soak kills faults fuzz images tools clean

all: build

build: bin/ww

bin/ww: FORCE
	@mkdir -p bin
	@$(BUILD) -o bin/ww ./cmd/ww
	@# Elsewhere than on Linux, images need a second binary.
	@if [ "$$($(GO) env GOOS)" != linux ]; then GOOS=linux $(BUILD) -o "bin/ww-linux-$$($(GO) env GOARCH)" ./cmd/ww; fi

FORCE:

# Manual pages, one for each command and topic: `man -M bin/man ww-compose-up`.
man: build
	@rm -rf bin/man
	@bin/ww man bin/man/man1
	@mkdir -p bin/man/man7 && mv bin/man/man1/*.7 bin/man/man7/

# Binaries for engines of other architectures, beside the one for this machine.
cross: build
	@for arch in amd64 arm64; do GOOS=linux GOARCH=$$arch $(BUILD) -o bin/ww-linux-$$arch ./cmd/ww; done

images:
	@scripts/base-images

# What the tests use besides the engine: a redis-server.
tools:
	@scripts/test-tools bin/tools

# The quickstart, from nothing to an answer and back to nothing.
demo: build
	@scripts/base-images redis:alpine
	@scripts/demo bin/ww

# The same with a bus that is ww itself: no image but those FROM scratch.
demo-offline: build
	@scripts/demo bin/ww offline

test:
	@$(MAKE) --no-print-directory -j3 lint tools images
	CGO_ENABLED=1 $(GO) test -race -timeout 28m ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Figures, each as a ratio to what the engine or the parser needs at the least.
# COMPOSE=path/to/docker-compose compares with docker compose as well.
bench: build images
	$(GO) test -run '^$$' -bench . -benchtime 1x ./syntax ./model ./compose ./runtime/plan
	WW_BENCH=1 $(GO) test -count 1 -timeout 1h -run '^TestBench' -v ./cmd/ww
	WW_BENCH=1 $(GO) test -count 1 -run '^TestBench' -v ./runtime/host ./runtime/deploy/inproc

# The buses against what their server can do, against a peer, and against
# themselves as systems grow. It fails where a figure is beyond its limit.
bench-bus: tools
	$(GO) -C bench vet -mod=mod ./...
	$(GO) -C bench test -mod=mod -count 1 -timeout 10m -run '^TestBench' -v ./...

# Nothing is lost: so many messages through containers that are killed, cut off
# and replaced, every so many seconds. A SEED repeats the order of the faults.
MESSAGES ?= 100000
BUS      ?= redis
REPLICAS ?= 1
EVERY    ?= 3
chaos: images
	WW_CHAOS=$(MESSAGES) WW_CHAOS_SEED=$(SEED) WW_CHAOS_BUS=$(BUS) WW_CHAOS_REPLICAS=$(REPLICAS) WW_CHAOS_EVERY=$(EVERY) \
		$(GO) test -count 1 -timeout 2h -run '^TestChaos$$' -v ./cmd/ww

# The same in a system that is partly in containers, for so long; and whether
# `ww up` takes no more at its end than at its beginning.
WW_SOAK ?= 10m
soak: images
	WW_SOAK=$(WW_SOAK) WW_SOAK_SEED=$(SEED) WW_SOAK_BUS=$(BUS) \
		$(GO) test -count 1 -timeout 3h -run '^TestSoak$$' -v ./cmd/ww

# up, update and down are killed at random moments, so many times in all.
KILLS ?= 200
kills: images
	WW_KILLS=$(KILLS) WW_KILLS_SEED=$(SEED) $(GO) test -count 1 -timeout 1h -run '^TestKilledAtAnyMoment$$' -v ./cmd/ww

# Every call to the engine of an up and of a down goes wrong in every way.
faults: images
	WW_FAULTS=all $(GO) test -count 1 -timeout 1h -run '^TestFaultsOnEngine$$' -v ./cmd/ww

FUZZTIME ?= 60s
fuzz:
	$(GO) test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) ./syntax
	$(GO) test -run '^$$' -fuzz '^FuzzPrint$$' -fuzztime $(FUZZTIME) ./syntax
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) ./runtime/bus
	$(GO) test -run '^$$' -fuzz '^FuzzReply$$' -fuzztime $(FUZZTIME) ./runtime/bus/redis
	$(GO) test -run '^$$' -fuzz '^FuzzExport$$' -fuzztime $(FUZZTIME) ./compose
	$(GO) test -run '^$$' -fuzz '^FuzzComposeFile$$' -fuzztime $(FUZZTIME) ./dockerx

clean:
	rm -rf bin
