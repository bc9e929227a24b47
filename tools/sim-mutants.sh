#!/usr/bin/env bash
# Breaks the code on purpose, one mistake at a time (sim/mutants/*.patch), and runs seeds until the simulation finds it. Works
# on a copy; nothing in the tree changes. `make sim-mutants` calls it with RocksDB's folder set.
#
#   tools/sim-mutants.sh                 all of them, some minutes each
#   tools/sim-mutants.sh no-tombstone    only these
#
# SEEDS: how many are tried at the most (30000). Exit code 1 when a mistake was not found.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
seeds=${SEEDS:-30000}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd sim/mutants && ls -- *.patch | sed 's/\.patch$//')
missed=0
printf '%-40s %-10s %s\n' mistake seed "what was seen"
for name in "${names[@]}"; do
  patch=$root/sim/mutants/$name.patch
  (cd "$copy" && patch --quiet --forward -p1 <"$patch")
  (cd "$copy" && cargo build --locked --quiet -p crest-sim)
  mv "$CARGO_TARGET_DIR/debug/crest-sim" "$copy/mutant"
  log=$("$copy/mutant" --seeds "$seeds" --first 2>&1) && code=0 || code=$?
  if [ "$code" = 1 ]; then
    printf '%-40s %s\n' "$name" "$(grep -m1 -E '^seed [0-9]+:' <<<"$log" | sed -E 's/^seed ([0-9]+): (.{0,140}).*/\1 \2/' | awk '{s=$1; $1=""; printf "%-10s%s", s, $0}')"
  else
    printf '%-40s %-10s %s\n' "$name" "-" "NOT FOUND in $seeds seeds"
    missed=1
  fi
  (cd "$copy" && patch --quiet --reverse -p1 <"$patch")
done
exit $missed
