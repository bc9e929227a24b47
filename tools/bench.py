#!/usr/bin/env python3
"""Measures Crest on this machine and prints a table for docs/BENCHMARKS.md.

    tools/bench.py                      the whole table (16 runs, some four minutes)
    tools/bench.py --seconds 5          shorter runs
    tools/bench.py --only batch,4       only rows whose settings contain all these words

Each row starts its own `crest dev` in a temporary folder (fsync on, as always), loads it with `crest load peak` in a closed
loop, and stops it. CPU is user + system time of both processes, the load generator included, divided by the transfers
that it made. The load's own proof (audit, totals, a sample of acknowledged ids) has to pass, or the row says so.
Needs target/debug/crest (`make build`).
"""
import argparse
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

CREST = pathlib.Path(__file__).resolve().parent.parent / "target/debug/crest"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User + system time of a process, in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children_cpu():
    times = os.times()
    return times.children_user + times.children_system


def run(shards, batch, ids, hot, seconds):
    """One row: starts a ledger, loads it, stops it."""
    with tempfile.TemporaryDirectory(prefix="crest-bench-") as folder:
        server = subprocess.Popen(
            [CREST, "dev", "--shards", str(shards), "--data-dir", folder, "--listen", "127.0.0.1:0", "--metrics", "off"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = re.search(r"ready on (\S+)", server.stdout.readline()).group(1)
            load = [CREST, "load", "peak", "--router", f"http://{address}", "--duration", f"{seconds}s", "--warm-up", "1s",
                    "--accounts", "10000", "--batch", str(batch), "--in-flight", "6" if batch > 1 else "400",
                    "--ids", ids, "--hot", str(hot), "--shards", str(shards), "--json"]
            if batch == 1:
                load.append("--stream")
            before, client = cpu_seconds(server.pid), children_cpu()
            done = subprocess.run(load, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds + 120)
            cpu = cpu_seconds(server.pid) - before + children_cpu() - client
            report = json.loads(done.stdout)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    made = max(report["acknowledged"], 1)
    latency = report["latency_ms"]
    return (report["transfers_per_second"], latency["p50"], latency["p99"], cpu / made * 1e6,
            100 * (report["cross_shard_share_audited"] or 0), "passed" if done.returncode == 0 else report["verdict"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of each run (default 10)")
    parser.add_argument("--only", default="", help="comma-separated words that a row's settings must all contain")
    args = parser.parse_args()
    if not CREST.exists():
        sys.exit(f"{CREST} is not there; run `make build` first")
    words = [w for w in args.only.split(",") if w]
    print("| settings | transfers/s | p50 ms | p99 ms | CPU-µs a transfer | cross-shard | proof |")
    print("|---|---|---|---|---|---|---|", flush=True)
    rows = itertools.product((1, 4), (8190, 1), ("ordered", "random"), (0, 0.5))
    for shards, batch, ids, hot in rows:
        kind = "batch 8190" if batch > 1 else "single"
        settings = f"{kind}, {shards} shard{'s' if shards > 1 else ''}, {ids} ids, {'half to one account' if hot else 'uniform'}"
        if not all(w in settings for w in words):
            continue
        rate, p50, p99, cpu, cross, proof = run(shards, batch, ids, hot, args.seconds)
        print(f"| {settings} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {cpu:.1f} | {cross:.0f} % | {proof} |", flush=True)


if __name__ == "__main__":
    main()
