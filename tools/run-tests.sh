#!/usr/bin/env bash
# Runs all test suites of the workspace: with cargo-nextest where it is installed, else with cargo test. Then the examples in
# the documentation. `make tests` calls it with RocksDB's folder set.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --workspace --no-fail-fast
else
  cargo test --locked --workspace --no-fail-fast --lib --bins --tests
fi
cargo test --locked --workspace --doc --quiet
