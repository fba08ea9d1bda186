# The SDKs of other languages than Rust. Included by the Makefile above, whose folder every path begins from.
#
# Their tests use connectord and connectorctl as they were built for the tests (target/debug); SUPERFASTTT_BIN_DIR names another
# folder of them.

.PHONY: test-python test-typescript test-typescript-itself test-go test-go-itself test-java test-java-itself test-templates \
	generate-typescript generate-go

PYTHON := connector-sdk/python
TYPESCRIPT := connector-sdk/typescript
GO := connector-sdk/go
JAVA := connector-sdk/java

# $(call left-out,what,why): says loudly that a part is left out for want of a toolchain; fails where all are demanded.
left-out = echo "SKIPPED: $(1): $(2)"; [ "$$CI" != true ] && [ "$$DEMAND_TOOLCHAINS" != 1 ]
# The selection of packages that every test uses: another one would build what they share with other features.
binaries = if [ -z "$$SUPERFASTTT_BIN_DIR" ]; then cargo build --locked --workspace; fi
# $(call proved,folder): the connector in this folder keeps the contract, at the highest level.
proved = "$${SUPERFASTTT_BIN_DIR:-target/debug}/connectorctl" conformance $(1) --level survives
# $(call generated-is-current,folder,generated,target): what buf makes of the contract is what is committed.
generated-is-current = fresh=$$(mktemp -d); trap "rm -rf $$fresh" EXIT; \
	(cd $(1) && ../../$(TOOLS)/venv/bin/buf generate -o $$fresh) && diff -r $$fresh/$(2) $(1)/$(2) \
	|| { echo "the generated code is not that of proto/: run make $(3)"; exit 1; }

test-python: ## Only the Python SDK and its example: types, lints, units, and through a real connectord
	@if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	  $(call left-out,the Python SDK,Python 3.10 with venv is missing: apt-get install python3-venv); \
	else $(binaries) && $(PYTHON)/test.sh && $(call proved,$(PYTHON)/examples/tracker); fi

test-typescript: ## Only the TypeScript SDK and its example: generated code, lints, units, and through a real connectord
	@if ! command -v npm >/dev/null || ! node -e \
	  'const [a, b, c] = process.versions.node.split("."); process.exit(+(a * 1e6 + b * 1e3 + +c < 20018001))' 2>/dev/null; then \
	  $(call left-out,the TypeScript SDK,Node 20.18.1 or newer with npm is missing: https://nodejs.org); \
	else $(MAKE) --no-print-directory test-typescript-itself; fi

test-typescript-itself: $(TOOLS)/buf-$(BUF_VERSION)
	@$(binaries)
	cd $(TYPESCRIPT) && npm ci --no-audit --no-fund && npm run lint
	@$(call generated-is-current,$(TYPESCRIPT),src/gen,generate-typescript)
	cd $(TYPESCRIPT) && npm test
	$(call proved,$(TYPESCRIPT)/examples/tracker)

generate-typescript: $(TOOLS)/buf-$(BUF_VERSION) ## Generate the TypeScript SDK's code from the contract, after npm ci
	cd $(TYPESCRIPT) && ../../$(TOOLS)/venv/bin/buf generate

test-go: ## Only the Go SDK: its generated code is current, its tests with the race detector, its example through connectord
	@if ! command -v go >/dev/null; then $(call left-out,the Go SDK,go is missing: install Go 1.26 or newer from https://go.dev/dl); \
	else $(MAKE) --no-print-directory test-go-itself; fi

test-go-itself: $(TOOLS)/buf-$(BUF_VERSION)
	@$(binaries)
	@unformatted=$$(gofmt -l $(GO)); [ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	@$(call generated-is-current,$(GO),connectorpb,generate-go)
	cd $(GO) && go vet ./... && go test -race ./... && go build -o examples/tracker/connector ./examples/tracker
	$(call proved,$(GO)/examples/tracker)

generate-go: $(TOOLS)/buf-$(BUF_VERSION) ## Generate the Go SDK's code anew from the contract
	cd $(GO) && ../../$(TOOLS)/venv/bin/buf generate

test-java: ## Only the Java example: its tests, and through connectord
	@if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then \
	  $(call left-out,the Java example,a JDK or Maven is missing: apt-get install openjdk-17-jdk-headless maven); \
	else $(MAKE) --no-print-directory test-java-itself; fi

test-java-itself: | need-python
	@$(binaries)
	mvn --batch-mode --quiet --file $(JAVA)/pom.xml verify
	python3 samples/tracker/through_connectord.py $(JAVA)/target/connector
	$(call proved,$(JAVA)/target/connector)

# What `connectorctl new` makes in these languages, and the tool of each. Rust's is proved by the tests of the command line.
TEMPLATES := python:python3 typescript:npm go:go
test-templates: need-cargo need-cc ## What `connectorctl new` makes, each language with its own toolchain: tests, conformance, a sync
	cargo build --locked --workspace
	@here=""; for template in $(TEMPLATES); do language=$${template%:*}; tool=$${template#*:}; \
	  if command -v $$tool >/dev/null; then here="$$here $$language"; \
	  else { $(call left-out,the $$language template,$$tool is missing: apt-get install $$tool); } || exit 1; fi; done; \
	  [ -z "$$here" ] || clients/cli/templates/test.sh $$here
	@if command -v python3 >/dev/null; then clients/cli/templates/test_walk.py; fi
