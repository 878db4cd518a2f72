# What a developer and CI do here. `make` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(HOME)/.cache/purlin
# Outside the checkout: what comes from the registry is compiled once a machine.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PURLIN_PEERS ?= $(CACHE)/peers
# A fresh clone gains nothing from the files of incremental builds.
ifdef CI
export CARGO_INCREMENTAL ?= 0
endif

# Always the whole workspace: with fewer crates, cargo would build dependencies anew with other features.
CARGO_WORKSPACE := --workspace --locked
E2E := cargo test $(CARGO_WORKSPACE) --test e2e
ARGS ?=
PART ?=

# Runs a target of this file and says how long it took.
timed = start=$$SECONDS; $(MAKE) --no-print-directory $(1); printf '== %s: %d s\n\n' '$(1)' $$((SECONDS - start))

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## Builds purlin and starts the platform (ARGS="--data-dir D ..." are passed on)
	@test -x '$(CARGO_TARGET_DIR)/debug/purlin' || echo 'The first build takes about 5 minutes on two cores; later ones take seconds. Cargo counts what is done:'
	@cargo build $(CARGO_WORKSPACE) --bin purlin
	@exec '$(CARGO_TARGET_DIR)/debug/purlin' up $(ARGS)

.PHONY: test
test: ## Does all that CI does: installs what it needs, lints, tests
	@$(call timed,tools)
	@$(call timed,peers)
	@$(call timed,lint)
	@$(call timed,check)

.PHONY: check
check: ## Runs the tests: unit, integration, tidy and end to end
	cargo test $(CARGO_WORKSPACE)

.PHONY: lint
lint: ## Checks the format and runs clippy with warnings denied
	cargo fmt --all --check
	cargo clippy $(CARGO_WORKSPACE) --all-targets -- -D warnings

.PHONY: tidy
tidy: ## Checks what holds for the repository as a whole: rooms, licences, documents
	cargo test $(CARGO_WORKSPACE) --test tidy

.PHONY: soak
soak: ## Runs the full counts of PART, which is one of: durable traffic
	@test -n '$(PART)' || { echo 'Say which: make soak PART=durable' >&2; exit 2; }
	PURLIN_SOAK=1 $(E2E) --release -- --nocapture '$(PART)::'

.PHONY: bench
bench: ## Measures PART beside its peers, which is one of: load platform (ARGS="--rounds 5 --seconds 5" are passed on)
	@test -n '$(PART)' || { echo 'Say which: make bench PART=load' >&2; exit 2; }
	@$(MAKE) --no-print-directory bench-$(PART)

# Start, memory, and how soon a change is served.
.PHONY: bench-platform
bench-platform:
	$(E2E) --release -- --ignored --nocapture --test-threads=1 figures::

.PHONY: bench-load
bench-load:
	cargo build $(CARGO_WORKSPACE) --release --bin purlin --bin purlin-bench
	'$(CARGO_TARGET_DIR)/release/purlin-bench' load --out docs/results $(ARGS)

.PHONY: dist
dist: ## Builds the binary that is shipped
	cargo build $(CARGO_WORKSPACE) --profile dist --bin purlin
	@ls -lh '$(CARGO_TARGET_DIR)/dist/purlin'

.PHONY: peers
peers: $(PURLIN_PEERS)/installed ## Installs the clients that the tests drive the platform with

$(PURLIN_PEERS)/installed: tests/clients/requirements.txt
	python3 -m venv '$(PURLIN_PEERS)'
	'$(PURLIN_PEERS)/bin/pip' install --quiet --disable-pip-version-check -r $<
	cp $< $@

.PHONY: tools
tools: ## Installs what the build needs, where it is missing: a C compiler, git, Python with venv, Chromium, rustfmt, clippy
	@command -v cargo >/dev/null || { echo 'Rust is missing: install it with rustup (https://rustup.rs), 1.95 or newer.' >&2; exit 1; }
	@missing=(); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v git >/dev/null || missing+=(git); \
	python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv); \
	command -v chromium >/dev/null || missing+=(chromium fonts-liberation); \
	test $${#missing[@]} = 0 || { apt-get update -qq && apt-get install -qy --no-install-recommends "$${missing[@]}"; }
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
