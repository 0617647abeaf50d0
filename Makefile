# Needs the Rust toolchain, Python 3.10 or later with venv, and Node with npm. Everything else is installed by the targets that need it, in
# pinned versions, into .tools/. The emulator and browser tests need Linux.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
LOCKED := --locked
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
	$(CARGO) fmt --check --manifest-path bench/Cargo.toml

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
deep: test-bench bench fleet ## What takes long: minutes each

.PHONY: fleet
fleet: ## Bring 10 to 10,000 streams right under AWS's rate limits, in simulated time: calls, throttles, memory; into docs/PERFORMANCE.md
	$(CARGO) run $(LOCKED) --example fleet -- --page

# Its build has a folder of its own: another lock file, and nothing shared with the function.
BENCH := --manifest-path bench/Cargo.toml --target-dir target/bench

.PHONY: bench
bench: ## Compare with a floor, boto3 and Cloud Custodian in one run, into docs/PERFORMANCE.md; needs Linux, and root for the cap of 128 MB
	bench/peers/install
	$(CARGO) build $(LOCKED) --release --bins $(BENCH)
	target/bench/release/bench

.PHONY: test-bench
test-bench: ## Lints and tests of the benchmark itself
	$(CARGO) clippy $(LOCKED) --all-targets $(BENCH) -- -D warnings
	$(CARGO) test $(LOCKED) $(BENCH)

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
pins: ## Pin the emulators and the benchmark's peers anew, from tests/emulators/*.in and package.json, bench/peers/requirements.in
	tests/emulators/pin
	bench/peers/pin

.tools/template/installed: tests/template/requirements.txt
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	touch $@
