#!/usr/bin/env bash
# The main job in one command: starts an embedded ledger of 4 shards in a temporary folder, rehearses a peak against it over
# gRPC, proves that no money was lost, and leaves nothing running. Its exit code is the rehearsal's.
#
#   tools/demo.sh                 30 seconds
#   DEMO_SECONDS=5 tools/demo.sh  shorter
set -euo pipefail
cd "$(dirname "$0")/.."
crest=${CARGO_TARGET_DIR:-target}/debug/crest
seconds=${DEMO_SECONDS:-30}
[ -x "$crest" ] || { echo "demo.sh: $crest is not there; run 'make build' first" >&2; exit 3; }
folder=$(mktemp -d "${TMPDIR:-/tmp}/crest-demo-XXXXXX")
server=
load=

# Ends a process that we started, and waits for it: 20 s for the open calls and the last checkpoint, then without mercy.
end() {
  local pid=$1 signal=$2
  kill "-$signal" "$pid" 2>/dev/null || return 0
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

cleanup() {
  trap - EXIT
  trap '' INT TERM
  [ -z "$load" ] || end "$load" TERM
  [ -z "$server" ] || end "$server" INT
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "starting a ledger of 4 shards and a router in one process"
RUST_LOG=${RUST_LOG:-warn} "$crest" dev --shards 4 --data-dir "$folder/data" --listen 127.0.0.1:0 --metrics off \
  >"$folder/out" </dev/null &
server=$!
address=
for _ in $(seq 200); do
  address=$(sed -n 's/.*ready on //p' "$folder/out")
  [ -z "$address" ] || break
  kill -0 "$server" 2>/dev/null || { echo "demo.sh: the ledger did not start" >&2; exit 3; }
  sleep 0.1
done
[ -n "$address" ] || { echo "demo.sh: the ledger did not start within 20 s" >&2; exit 3; }

echo "rehearsing a peak of $seconds seconds over gRPC at $address: payments in batches of 100 between 10,000 accounts"
# In the background, so that a signal to this script is acted on at once and not when the rehearsal is over.
"$crest" load peak --router "http://$address" --duration "${seconds}s" --batch 100 --in-flight 16 --shards 4 </dev/null &
load=$!
code=0
wait "$load" || code=$?
load=
echo "stopping; nothing is left running"
exit "$code"
