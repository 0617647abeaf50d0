# Needs the Rust toolchain, Python 3.10 or later with venv, and Node 20 or later with npm. Everything else is installed by the targets that need it, in
# pinned versions, into .tools/. The emulator and browser tests need Linux.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO := cargo
LOCKED := --locked
TEMPLATE := .tools/template/python/bin/python -B
# How many seeds `make campaign` runs; SEED=1234 replays one.
SEEDS := 2000
# How many cases `make access-peer` generates; SEED=1234 shows one.
ACCESS_PEER_CASES := 20000
# How many cases of each kind `make input-deep` tries.
INPUT_CASES := 3000
PYTEST := .tools/emulators/python/bin/python -B -m pytest

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Run the demo in the sandbox: seconds, no AWS account
	$(CARGO) run $(LOCKED) -- demo

.PHONY: check
check: format lint docs prose template supply ## Formatting, lints, documentation, wording, template and supply chain

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

.PHONY: prose
prose: ## Wording of the documents, by the rules in tests/prose/rules.py
	python3 -B tests/prose/test.py
	python3 -B tests/prose/check.py

.PHONY: template
template: template-tools ## Template and deploy/: lints, scanners, and that every route makes the same stack
	$(TEMPLATE) tests/template/check.py

.PHONY: template-tools
template-tools:
	tests/template/install

.PHONY: template-yaml
template-yaml: template-tools ## Write template.yaml from its parts in deploy/template/
	$(TEMPLATE) deploy/template/join.py

.PHONY: stackset-template
stackset-template: template-tools ## Write target/deploy/template.cfn.json, the template without the SAM transform
	$(TEMPLATE) deploy/transform.py

.PHONY: terraform-interface
terraform-interface: template-tools ## Write the Terraform module's variables and outputs from template.yaml
	$(TEMPLATE) deploy/terraform/interface.py

.PHONY: terraform
terraform: ## The Terraform module with Terraform itself and the AWS provider, without an account
	tests/template/terraform

.PHONY: supply
supply: ## Supply chain: workflows (zizmor), dependencies that nothing uses (cargo-machete)
	supply/install checks
	supply/install cargo-machete
	.tools/supply/bin/zizmor --offline --persona auditor --strict-collection .github
	PATH=$(CURDIR)/.tools/cargo/bin:$$PATH cargo machete

.PHONY: deny
deny: ## Licences, bans and sources of all dependencies; compiles cargo-deny, minutes once
	supply/install cargo-deny
	PATH=$(CURDIR)/.tools/cargo/bin:$$PATH cargo deny --log-level error --locked check bans licenses sources

.PHONY: release
release: ## Deployment packages for x86_64 and arm64, reproducible, and their SHA-256; ARCHITECTURES=x86_64 for one
	supply/release $(ARCHITECTURES)

.PHONY: archives
archives: ## Archives of the terminal program for this operating system, and their SHA-256; TARGETS=x86_64-unknown-linux-musl for one
	supply/archives $(TARGETS)

.PHONY: sbom
sbom: ## Bill of materials of the function, in CycloneDX
	supply/sbom

.PHONY: reproducible
reproducible: ## Build the deployment package and the archive twice, in two places, and compare: many minutes
	supply/reproducible $(ARCHITECTURES) $(TARGETS)

.PHONY: coverage
coverage: ## Which lines the tests of the crate run: minutes
	supply/coverage

.PHONY: mutants
mutants: ## Change the code in small ways and see a test fail: an hour and more; MUTANTS='--file src/decide/mod.rs' for a part
	supply/install cargo-mutants
	PATH=$(CURDIR)/.tools/cargo/bin:$$PATH cargo mutants $(MUTANTS)

.PHONY: deep
deep: campaign input-deep access-peer deny terraform reproducible coverage mutants test-bench bench fleet ## What takes too long for every change, or needs what make does not install

.PHONY: test-rust
test-rust: ## Tests of the crate, against the sandbox
	$(CARGO) test $(LOCKED)

.PHONY: input-deep
input-deep: ## Generated payloads, policies and tags: thousands of each kind, within minutes
	PROPTEST_CASES=$(INPUT_CASES) $(CARGO) test $(LOCKED) --test input

.PHONY: access-peer
access-peer: ## Compare the answers of `access` with those of another evaluator of policies, on generated policies: a minute
	tests/access_peer/install
	$(CARGO) build $(LOCKED) --example access_cases
	ACCESS_TOOLS=$(CURDIR)/.tools/access_peer ACCESS_CASES=$(CURDIR)/target/debug/examples/access_cases \
		node tests/access_peer/compare.mjs $(if $(SEED),--seed $(SEED),--cases $(ACCESS_PEER_CASES))

.PHONY: fleet
fleet: ## Encrypt 10 to 10,000 streams under AWS's rate limits, in simulated time: calls, throttles, memory; into docs/contributing/PERFORMANCE.md
	$(CARGO) run $(LOCKED) --example fleet -- --page

# Its build has a folder of its own: another lock file, and nothing shared with the function.
BENCH := --manifest-path bench/Cargo.toml --target-dir target/bench

.PHONY: bench
bench: ## Compare with a floor, boto3 and Cloud Custodian in one run, into docs/contributing/PERFORMANCE.md; needs Linux, and root for the cap of 128 MB
	bench/peers/install
	$(CARGO) build $(LOCKED) --release --bins $(BENCH)
	target/bench/release/bench

.PHONY: test-bench
test-bench: ## Lints and tests of the benchmark itself
	$(CARGO) clippy $(LOCKED) --all-targets $(BENCH) -- -D warnings
	$(CARGO) test $(LOCKED) $(BENCH)

.PHONY: budgets
budgets: ## What the function weighs, and what scenarios cost in calls and waiting, against bench/budgets.json
	bench/budgets.py
	$(CARGO) test $(LOCKED) --test scenarios budgets -- --nocapture

.PHONY: campaign
campaign: ## Runs in which everything goes wrong that can, from seeds; SEEDS=10000 for more, SEED=1234 to replay one
	$(CARGO) run $(LOCKED) $(if $(SEED),,--profile campaign) --example campaign -- $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

.PHONY: test-browser
test-browser: ## Tests of the HTML report in a headless browser
	tests/browser/install
	$(CARGO) build $(LOCKED) --bin enforcer
	BROWSER_TOOLS=$(CURDIR)/.tools/browser ENFORCER=$(CURDIR)/target/debug/enforcer node --test tests/browser/

.PHONY: pictures
pictures: ## Record the pictures of README.md: the demo in a terminal, the HTML report
	tests/browser/install
	$(CARGO) build $(LOCKED) --bin enforcer
	$(CARGO) run $(LOCKED) --example recording
	BROWSER_TOOLS=$(CURDIR)/.tools/browser ENFORCER=$(CURDIR)/target/debug/enforcer node tests/browser/screenshot.mjs

.PHONY: test-emulators
test-emulators: tools ## Tests of the bootstrap binary by emulators of AWS and Lambda; the template deployed, its role enforced
	$(PYTEST) tests/emulators

.PHONY: verify-aws
verify-aws: tools stackset-template ## Ask real AWS the open questions of docs/VERIFIED.md, in your account, for less than a dollar; VERIFY=--help for its options
	$(CARGO) build $(LOCKED) --bin enforcer
	PYTHONPATH=tests/aws .tools/emulators/python/bin/python -B -m verify $(VERIFY)

.PHONY: tools
tools: ## Install the emulators; quick when they are there
	tests/emulators/install

.PHONY: pins
pins: ## Pin the tools again, from the .in files and package.json in tests/emulators, tests/template, bench/peers and supply
	tests/emulators/pin
	tests/template/pin
	bench/peers/pin
	supply/pin
