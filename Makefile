# The one door for commands. CI calls the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help demo check test test-rust test-real lint fmt bench bench-peers build-tools

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build-tools ## The sidecar in front of a demo orchestrator, with light traffic (ctrl-c drains)
	cargo run --locked -- demo

check: build-tools ## The inner loop: format, clippy, tests; needs no root and no network but crates.io
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

test: test-rust test-real ## Everything: the Rust tests, then real servers (installs what is missing)

test-rust: build-tools ## Only the Rust tests
	cargo test --locked

test-real: build-tools ## Only the tier with real servers, clients and judges (installs what is missing)
	cargo build --quiet --locked --bin vital-sidecar
	tests/real/install.sh
	tests/real/run.sh

lint: build-tools ## Format, clippy pedantic, docs, licences and bans (where cargo-deny is installed)
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
	  cargo deny --locked check bans licenses sources; \
	else \
	  echo "skipped: cargo-deny is not installed (cargo install --locked cargo-deny@0.20.2)"; \
	fi

fmt: ## Format the code
	cargo fmt

# A fresh Debian with the Rust toolchain has no linker yet; one test runs the auditor's Python program.
build-tools:
	@{ command -v cc && command -v python3; } >/dev/null || { \
	  if [ "$$(id -u)" != 0 ]; then \
	    echo "error: no C compiler or Python; hint: run as root: apt-get install gcc libc6-dev python3" >&2; exit 1; \
	  fi; \
	  apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev make python3; \
	}

# Targets `bench` and `bench-peers`.
-include benches/Makefile.inc
