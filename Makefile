# Needs the Rust toolchain, Python 3.10 or later with venv, and Node 20 or later with npm. Everything else is installed by the targets that need it, in
# pinned versions, into .tools/. The emulator and browser tests need Linux.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
LOCKED := --locked
TEMPLATE := .tools/template/python/bin/python -B
PYTEST := .tools/emulators/python/bin/python -B -m pytest

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
template: template-tools ## Template and deploy/: lints, scanners, and that every route makes the same stack
	$(TEMPLATE) tests/template/check.py

.PHONY: template-tools
template-tools:
	tests/template/install

.PHONY: stackset-template
stackset-template: template-tools ## Write target/deploy/template.cfn.json, the template without the SAM transform
	$(TEMPLATE) deploy/transform.py

.PHONY: terraform-interface
terraform-interface: template-tools ## Write the Terraform module's variables and outputs anew, from template.yaml
	$(TEMPLATE) deploy/terraform/interface.py

.PHONY: deep
deep: terraform ## What takes long, or needs what make does not install

.PHONY: terraform
terraform: ## The Terraform module with Terraform itself and the AWS provider, without an account
	tests/template/terraform

.PHONY: test-rust
test-rust: ## Tests of the crate, against its embedded AWS
	$(CARGO) test $(LOCKED)

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
pins: ## Pin the emulators and the template's scanners anew, from tests/*/*.in and package.json
	tests/emulators/pin
	tests/template/pin
