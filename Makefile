# Needs the Rust toolchain, Python 3.10 or later with venv, and Node with npm. Everything else is installed by the targets that need it, in
# pinned versions, into .tools/. The emulator and browser tests need Linux.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
LOCKED := --locked
INPUT_CASES := 3000
PYTEST := .tools/emulators/python/bin/python -B -m pytest

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Tell the whole story on an embedded AWS, in seconds and without an account
	$(CARGO) run $(LOCKED) -- demo

.PHONY: check
check: format lint docs template ## Formatting, lints, documentation and template

.PHONY: test
test: test-rust test-browser test-emulators ## All tests

.PHONY: format
format: ## Formatting
	$(CARGO) fmt --check

.PHONY: lint
lint: ## Clippy; for the function also without the terminal program
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings
	$(CARGO) clippy $(LOCKED) --no-default-features --lib --bin bootstrap -- -D warnings

.PHONY: docs
docs: ## Documentation, without a warning
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(LOCKED) --no-deps

.PHONY: template
template: .tools/template/installed ## Template: syntax, lints, and what it becomes in CloudFormation
	.tools/template/bin/python -B tests/template/check.py

.PHONY: test-rust
test-rust: ## Tests of the crate, against its embedded AWS
	$(CARGO) test $(LOCKED)

.PHONY: deep
deep: input-deep ## What takes too long for every change

.PHONY: input-deep
input-deep: ## Generated payloads, policies and tags: thousands of each kind, within minutes
	PROPTEST_CASES=$(INPUT_CASES) $(CARGO) test $(LOCKED) --test input

.PHONY: fleet
fleet: ## Bring 1,000 and 10,000 streams right under AWS's rate limits, in simulated time: calls, throttles, memory
	$(CARGO) run $(LOCKED) --example fleet

.PHONY: test-browser
test-browser: ## Tests of the HTML report in a headless browser
	tests/browser/install
	$(CARGO) build $(LOCKED) --bin enforcer
	BROWSER_TOOLS=$(CURDIR)/.tools/browser ENFORCER=$(CURDIR)/target/debug/enforcer node --test tests/browser/

.PHONY: test-emulators
test-emulators: tools ## Tests of the bootstrap binary under local Lambda hosts, against kinesis-local and moto
	$(PYTEST) tests/emulators

.PHONY: tools
tools: ## Install the emulators; quick when they are there
	tests/emulators/install

.PHONY: pins
pins: ## Pin the emulators anew, from tests/emulators/*.in and package.json
	tests/emulators/pin

.tools/template/installed: tests/template/requirements.txt
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	touch $@
