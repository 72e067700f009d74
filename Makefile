# Two commands matter: `make demo` and `make test`. Everything else is a part of them, or heavier.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/margrave
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_TERM_COLOR ?= auto
BIN = $(CARGO_TARGET_DIR)/debug/margrave

FUZZ_SECONDS ?= 300
MEASURE = MARGRAVE_ENVOY=$$(tools/fetch.py envoy) MARGRAVE_SOVEREIGN=$$(tools/fetch.py sovereign) MARGRAVE_BIN=$(CARGO_TARGET_DIR)/release/margrave $(CARGO_TARGET_DIR)/release/bench

.PHONY: help demo test lint fmt build envoy soak soak-kill soak-simulation soak-descriptors soak-store soak-xds bench fuzz golden clean-cache advisories sim

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: build envoy ## the whole platform with a real Envoy, an example applied, a request answered; until Ctrl-C
	@MARGRAVE_ENVOY=$$(tools/fetch.py envoy) MARGRAVE_BIN=$(BIN) tools/demo.sh

test: envoy lint ## everything that CI runs
	MARGRAVE_ENVOY=$$(tools/fetch.py envoy) MARGRAVE_ENVOY_PREVIOUS=$$(tools/fetch.py envoy-1.39) MARGRAVE_SCHEMATHESIS=$$(tools/fetch.py schemathesis) MARGRAVE_XDS_CLIENTS=$$(tools/fetch.py xds-clients) MARGRAVE_SOVEREIGN=$$(tools/fetch.py sovereign) cargo test --workspace --all-features --locked --no-fail-fast

lint: fmt ## formatting, lints, layers, licences, duplicates (no network beyond what a build needs)
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	cargo fetch --locked --quiet
	$$(tools/fetch.py cargo-deny) --offline --log-level error check --hide-inclusion-graph bans licenses sources

fmt:
	cargo fmt --all --check

build: ## the binary, as `make demo` runs it; ./margrave leads to it
	cargo build --locked --package margrave
	@ln -sf "$(BIN)" margrave

envoy: ## Envoy, pinned, and the release before it, into the cache folder
	@tools/fetch.py envoy >/dev/null
	@tools/fetch.py envoy-1.39 >/dev/null

soak: soak-kill soak-simulation soak-descriptors soak-store soak-xds ## the long forms of what `make test` runs short; each of the following can be run alone

soak-kill: envoy ## a thousand kill -9 of the binary under load (MARGRAVE_KILLS: so many)
	MARGRAVE_ENVOY=$$(tools/fetch.py envoy) cargo test --package margrave --all-features --locked --test it -- soak --include-ignored --nocapture

soak-simulation: ## two hundred thousand simulated schedules (MARGRAVE_SEEDS: so many)
	cargo test --package worker --all-features --locked --lib -- soak --include-ignored --nocapture

soak-descriptors: envoy ## 28,000 generated descriptors through the renderer and a real Envoy
	MARGRAVE_ENVOY=$$(tools/fetch.py envoy) cargo test --package render --all-features --locked -- soak --include-ignored --nocapture

soak-store: ## the store alone, killed again and again while it writes
	MARGRAVE_SOAK=1 cargo test --package store --all-features --locked --test kill -- --nocapture

soak-xds: envoy ## a real Envoy through many more changes than `make test` has, and 30,000 simulated lives of delta clients
	MARGRAVE_SOAK=1 MARGRAVE_ENVOY=$$(tools/fetch.py envoy) cargo test --package xds --all-features --locked --lib --test envoy -- --nocapture

sim: ## 2,000 simulated proxies in 13 regions that are cut off, slowed and killed, in network namespaces (as root; SIM="--regions 3 --proxies 30" for less)
	cargo build --release --locked --package margrave --package bench
	MARGRAVE_BIN=$(CARGO_TARGET_DIR)/release/margrave $(CARGO_TARGET_DIR)/release/bench sim --namespaces $(SIM)

fuzz: envoy ## requests and inputs that nobody thought of, for long: schemathesis on both documents, then each target of fuzz/ for FUZZ_SECONDS
	MARGRAVE_SOAK=1 MARGRAVE_ENVOY=$$(tools/fetch.py envoy) MARGRAVE_SCHEMATHESIS=$$(tools/fetch.py schemathesis) cargo test --package margrave --test it --locked -- conform --nocapture
	fuzz/run.sh $(FUZZ_SECONDS)

golden: ## rewrites every golden file; review the diff
	UPDATE_GOLDEN=1 cargo test --workspace --all-features

advisories: ## known vulnerabilities (needs the advisory database)
	$$(tools/fetch.py cargo-deny) check advisories

bench: envoy ## ratios: change → live beside a bare server, what an Envoy costs, provisions accepted beside a bare disk, one change to 2,000 proxies beside raw sockets and a bare tonic server, other templates, what TLS costs, and all beside Sovereign; BENCH="provisions --clients 16" for one
	cargo build --release --locked --package margrave --package bench
	$(MEASURE) $(or $(BENCH),live)
	$(if $(BENCH),,for it in provisions fleet "fleet --sotw --tenants 1000" rollout tls render sovereign; do $(MEASURE) $$it || exit 1; done)
