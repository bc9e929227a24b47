#!/usr/bin/env bash
# The main job in one command: starts an embedded ledger of 4 shards in a temporary folder, rehearses a peak against it over
# gRPC, proves that no money was lost, and leaves nothing running.
#
#   tools/demo.sh                 30 seconds
#   DEMO_SECONDS=5 tools/demo.sh  shorter
set -euo pipefail
cd "$(dirname "$0")/.."
crest=target/debug/crest
seconds=${DEMO_SECONDS:-30}
folder=$(mktemp -d "${TMPDIR:-/tmp}/crest-demo-XXXXXX")
server=

cleanup() {
  trap - EXIT INT TERM
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    kill -INT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

echo "starting a ledger of 4 shards and a router in one process"
RUST_LOG=${RUST_LOG:-warn} "$crest" dev --shards 4 --data-dir "$folder/data" --listen 127.0.0.1:0 --metrics off >"$folder/out" &
server=$!
for _ in $(seq 200); do
  address=$(sed -n 's/.*ready on //p' "$folder/out")
  [ -n "$address" ] && break
  kill -0 "$server" 2>/dev/null || { echo "demo.sh: the ledger did not start" >&2; exit 3; }
  sleep 0.1
done
[ -n "${address:-}" ] || { echo "demo.sh: the ledger did not start within 20 s" >&2; exit 3; }

echo "rehearsing a peak of $seconds seconds over gRPC at $address: payments in batches of 100 between 10,000 accounts"
code=0
"$crest" load peak --router "http://$address" --duration "${seconds}s" --batch 100 --in-flight 16 --shards 4 || code=$?
echo "stopping; nothing is left running"
exit "$code"
