# Crest: all development commands. `make help` lists them.
#
# Every cargo call below gets ROCKSDB_LIB_DIR: RocksDB's C++ is compiled once a machine by tools/rocksdb-archive.sh and then
# only linked, whatever the target folder or the flags. One profile serves running and testing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo cluster cluster-clean test build install rocksdb format-check lint docs-check tests model verify bench bench-generator failover crash-soak cut-soak sim sim-seeds sim-soak sim-mutants deny install-deny clean-rocksdb

export ROCKSDB_STATIC := 1
# Two commands, not `export X="$$(...)"`: that one's exit code is export's, and a failed archive would go unnoticed.
WITH_ROCKSDB = ROCKSDB_LIB_DIR="$$(tools/rocksdb-archive.sh)"; export ROCKSDB_LIB_DIR;

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

# 1 is the day itself: 38,500 transfers a second at midnight.
SCALE ?= 0.5
demo: build ## the main job: a cluster of 4 shards, the peak day of 2014 at SCALE=0.5 in a minute, the proof, a report
	@$${CARGO_TARGET_DIR:-target}/debug/crest load run double-11-2014 --local 4 --scale $(SCALE) --out target/demo

# Every variable of deploy/local/cluster.py works here: make cluster NODES=5 SHARDS=8
cluster: build ## a whole cluster on this machine until Ctrl-C: NODES=3, SHARDS=4, ROUTERS=2, etcd, and Prometheus where it is
	@deploy/local/cluster.py

cluster-clean: ## delete that cluster's data
	@deploy/local/cluster.py clean

test: install ## every test: format, lints, docs, all test suites (the Python client's included)
	@$(MAKE) --no-print-directory verify tests

build: install ## build the binary, target/debug/crest
	@$(WITH_ROCKSDB) cargo build --locked --bin crest

install: ## install what a build and the tests need from the distribution (only what is missing)
	@tools/install.sh

rocksdb: install ## compile RocksDB's archive, once a machine
	@tools/rocksdb-archive.sh

verify: format-check lint docs-check ## everything that only reads the tree

format-check: ## is the code formatted?
	@cargo fmt --all -- --check

lint: ## clippy, warnings denied
	@$(WITH_ROCKSDB) cargo clippy --locked --workspace --all-targets -- -D warnings

docs-check: ## rustdoc, private items too, warnings denied
	@$(WITH_ROCKSDB) RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

tests: ## all test suites
	@$(WITH_ROCKSDB) tools/run-tests.sh

model: ## every state of the two-phase commit's model, at its larger size (minutes)
	@cargo run --locked --quiet -p crest-protocol --example explore -- --size large --threads 2

# Counts up over several runs, in target/crash-tally, until so many processes were killed; MINUTES=30 ends a run sooner.
KILLS ?= 500
crash-soak: install ## kill processes at random and at named points until KILLS=500 have died, or for MINUTES=…
	@$(WITH_ROCKSDB) CREST_TALLY=$(CURDIR)/target/crash-tally CREST_CRASH_KILLS=$(KILLS) \
	  CREST_CRASH_MINUTES=$(MINUTES) cargo test --locked -p crest --test crash whatever -- --nocapture

cut-soak: install ## cut the network between nodes at random for MINUTES=10, in network namespaces; takes root
	@$(WITH_ROCKSDB) CREST_CUT_MINUTES=$(or $(MINUTES),10) cargo test --locked -p crest --test netns -- --nocapture

failover: KILLS = 50
failover: install ## kill the leader of a shard KILLS=50 times under load: how long payments stand still, in target/failover
	@$(WITH_ROCKSDB) CREST_FAILOVER_KILLS=$(KILLS) CREST_FAILOVER_BOUND_MS=3000 CREST_FAILOVER_OUT=$(CURDIR)/target/failover \
	  cargo test --locked -p crest --test failover a_killed -- --nocapture

bench: build ## the figures of docs/BENCHMARKS.md, some five minutes
	@tools/bench.py

bench-generator: ## how much the load generator itself can send: a server that answers at once, three runs a row
	@$(WITH_ROCKSDB) cargo bench --locked --quiet --profile dev -p crest-loadgen --bench generator

sim: ## simulate one seed, and say what happened: make sim SEED=44 (PRINT=1 prints every event)
	@[ -n "$(SEED)" ] || { echo "which one? make sim SEED=44" >&2; exit 2; }
	@$(WITH_ROCKSDB) cargo run --locked --quiet -p crest-sim -- --seed "$(SEED)" $(if $(PRINT),--print)

sim-seeds: ## simulate many seeds: make sim-seeds SEEDS=10000 FROM=1
	@$(WITH_ROCKSDB) cargo run --locked --quiet -p crest-sim -- --seeds "$(or $(SEEDS),10000)" --from "$(or $(FROM),1)"

sim-soak: ## simulate seed after seed until it is stopped: make sim-soak FROM=1
	@$(WITH_ROCKSDB) cargo run --locked --quiet -p crest-sim -- --soak --from "$(or $(FROM),1)"

sim-mutants: ## break the code on purpose, and see the simulation find it: make sim-mutants ONLY=no-tombstone
	@$(WITH_ROCKSDB) tools/sim-mutants.sh $(ONLY)

deny: ## licences, bans and sources of all dependencies (needs cargo-deny: make install-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: make install-deny" >&2; exit 1; }
	@cargo deny --locked check --hide-inclusion-graph licenses bans sources

install-deny: ## install cargo-deny
	@cargo install cargo-deny --locked

clean-rocksdb: ## delete RocksDB's archive; the next build compiles it again
	@rm -rf "$$(tools/rocksdb-archive.sh --where)"
