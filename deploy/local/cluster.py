#!/usr/bin/env python3
"""A whole Crest cluster on this machine, every part a process of its own on 127.0.0.1: `make cluster`.

    deploy/local/cluster.py           start it, and stop everything in good order on Ctrl-C; the data stays
    deploy/local/cluster.py clean     delete the data

Variables (`make cluster NODES=5`): NODES, SHARDS, REPLICAS (1, 3 or 5), ROUTERS, CLUSTER_DIR; the first port of each kind:
ROUTER_PORT, ROUTER_METRICS_PORT, NODE_PORT, NODE_METRICS_PORT, ETCD_PORT (and the one above it), PROMETHEUS_PORT; CREST, the
binary. Exit codes: 0 stopped, 2 a variable, a port or the data does not fit, 3 a part could not be started, 4 a part had to be
killed because it did not stop.
"""

import dataclasses
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

# What is only run is not compiled into the checkout.
sys.dont_write_bytecode = True

from parts import Part, Trouble, http_says, log_says, told_to_stop

HOST = "127.0.0.1"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS_FILES = REPOSITORY / "deploy" / "prometheus"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the variables say."""

    nodes: int
    shards: int
    replicas: int
    routers: int
    folder: pathlib.Path
    crest: str
    router_port: int
    router_metrics_port: int
    node_port: int
    node_metrics_port: int
    etcd_port: int
    prometheus_port: int

    @staticmethod
    def read():
        def number(name, default, lowest, highest):
            text = os.environ.get(name) or str(default)
            if not text.isdecimal() or not lowest <= int(text) <= highest:
                raise Trouble(2, f"{name}={text}: expected a number from {lowest} to {highest}")
            return int(text)

        nodes = number("NODES", 3, 1, 16)
        replicas = number("REPLICAS", 3 if nodes >= 3 else 1, 1, 5)
        if replicas not in (1, 3, 5) or replicas > nodes:
            raise Trouble(2, f"REPLICAS={replicas}: expected 1, 3 or 5, and not more than NODES={nodes}")
        target = os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target"
        return Settings(
            nodes=nodes,
            shards=number("SHARDS", 4, 1, 64),
            replicas=replicas,
            routers=number("ROUTERS", 2, 1, 16),
            folder=pathlib.Path(os.environ.get("CLUSTER_DIR") or REPOSITORY / "target" / "cluster"),
            crest=os.environ.get("CREST") or str(pathlib.Path(target) / "debug" / "crest"),
            router_port=number("ROUTER_PORT", 7000, 1024, 65000),
            router_metrics_port=number("ROUTER_METRICS_PORT", 7080, 1024, 65000),
            node_port=number("NODE_PORT", 7101, 1024, 65000),
            node_metrics_port=number("NODE_METRICS_PORT", 7181, 1024, 65000),
            etcd_port=number("ETCD_PORT", 7379, 1024, 65000),
            prometheus_port=number("PROMETHEUS_PORT", 7090, 1024, 65000),
        )

    @property
    def map(self):
        return f"etcd://{HOST}:{self.etcd_port}/local"

    def node(self, number):
        return f"{HOST}:{self.node_port + number - 1}"

    def node_metrics(self, number):
        return f"{HOST}:{self.node_metrics_port + number - 1}"

    def router(self, number):
        return f"{HOST}:{self.router_port + number - 1}"

    def router_metrics(self, number):
        return f"{HOST}:{self.router_metrics_port + number - 1}"

    def ports(self):
        """Every port that is needed, with what for and the variable that moves it."""
        of_nodes, of_routers = range(self.nodes), range(self.routers)
        wanted = [(self.etcd_port, "etcd", "ETCD_PORT"), (self.etcd_port + 1, "etcd's peers", "ETCD_PORT")]
        wanted += [(self.node_port + n, f"node {n + 1}", "NODE_PORT") for n in of_nodes]
        wanted += [(self.node_metrics_port + n, f"node {n + 1}'s metrics", "NODE_METRICS_PORT") for n in of_nodes]
        wanted += [(self.router_port + n, f"router {n + 1}", "ROUTER_PORT") for n in of_routers]
        wanted += [(self.router_metrics_port + n, f"router {n + 1}'s metrics", "ROUTER_METRICS_PORT") for n in of_routers]
        if shutil.which("prometheus"):
            wanted.append((self.prometheus_port, "Prometheus", "PROMETHEUS_PORT"))
        return wanted

    def first_map(self):
        """The text of the cluster file: shard k is on `replicas` nodes, from the k-th on."""
        text = 'cluster = "local"\nversion = 1\nepoch = 1\n'
        for n in range(1, self.nodes + 1):
            text += f'\n[[node]]\nid = {n}\naddress = "{self.node(n)}"\n'
        for shard in range(self.shards):
            replicas = sorted((shard + k) % self.nodes + 1 for k in range(self.replicas))
            text += f"\n[[shard]]\nid = {shard}\nreplicas = {replicas}\n"
        return text


def check_ports(settings):
    """Refuses ports that are taken, or wanted twice."""
    seen = {}
    for port, what, variable in settings.ports():
        if port in seen:
            raise Trouble(2, f"port {port} is wanted for {what} and for {seen[port]}: set {variable}")
        seen[port] = what
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
            except OSError:
                raise Trouble(2, f"port {port}, for {what}, is taken{holder(port)}: stop that, or set {variable}") from None


def holder(port):
    """Who listens there, when that can be found out."""
    if not shutil.which("ss"):
        return ""
    said = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True).stdout
    found = re.search(r'\("([^"]+)",pid=(\d+)', said)
    return f" by {found[1]} (process {found[2]})" if found else ""


def check_programs(settings):
    if not os.access(settings.crest, os.X_OK):
        raise Trouble(2, f"there is no {settings.crest}: run `make build`, or set CREST to the binary")
    if not shutil.which("etcd"):
        raise Trouble(2, "etcd is not installed: run `make install` (Debian's package is etcd-server)")


def lock(settings):
    """Holds the folder as long as this process lives."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    held = open(settings.folder / "LOCK", "a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Trouble(2, f"a cluster runs in {settings.folder} already") from None
    return held


def check_data(settings):
    """What is in the folder has to be of this cluster: nodes keep their addresses, and shards their number."""
    file = settings.folder / "cluster.toml"
    text = settings.first_map()
    if not file.exists():
        file.write_text(text)
    elif file.read_text() != text:
        raise Trouble(
            2,
            f"{settings.folder} holds a cluster of other nodes, shards, replicas or ports ({file}): "
            "start it with the variables that it was made with, or delete it with `make cluster-clean`",
        )
    (settings.folder / "logs").mkdir(exist_ok=True)


def etcd(settings):
    clients, peers = (f"http://{HOST}:{port}" for port in (settings.etcd_port, settings.etcd_port + 1))
    command = ["etcd", "--name", "local", "--data-dir", str(settings.folder / "etcd"), "--log-level", "warn"]
    command += ["--logger", "zap", "--listen-client-urls", clients, "--advertise-client-urls", clients]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"local={peers}"]
    return Part("etcd", command, settings.folder, http_says(f"{clients}/health", '"true"'))


def put_map(settings):
    """Puts the map into etcd, once for a folder; afterwards operators' commands are what changes it."""
    done = settings.folder / "map-is-in-etcd"
    if done.exists():
        return
    command = [settings.crest, "cluster", "init", str(settings.folder / "cluster.toml"), "--cluster", settings.map]
    ended = subprocess.run(["timeout", "60", *command], capture_output=True, text=True)
    # 1: there is one. A start that was cut short after this line comes here again.
    if ended.returncode not in (0, 1):
        raise Trouble(3, f"{shlex.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    done.touch()


def node(settings, number):
    command = [settings.crest, "node", "--cluster", settings.map, "--node", str(number)]
    command += ["--data-dir", str(settings.folder / f"node-{number}"), "--metrics", settings.node_metrics(number)]
    return Part(f"node-{number}", command, settings.folder, log_says("ready on "))


def router(settings, number):
    command = [settings.crest, "router", "--cluster", settings.map, "--listen", settings.router(number)]
    command += ["--metrics", settings.router_metrics(number)]
    command += ["--map-copy", str(settings.folder / f"router-{number}.map.toml")]
    return Part(f"router-{number}", command, settings.folder, log_says("ready on "))


def payments_work(settings, patience=60):
    """Waits until every router says that every shard serves, and that all shards accept each other's messages."""
    until = time.monotonic() + patience
    waiting = list(range(1, settings.routers + 1))
    while waiting:
        if told_to_stop():
            raise KeyboardInterrupt
        command = [settings.crest, "health", "--address", settings.router(waiting[0])]
        ended = subprocess.run(["timeout", "10", *command], capture_output=True, text=True)
        if ended.returncode == 0:
            waiting.pop(0)
        elif time.monotonic() > until:
            said = (ended.stdout + ended.stderr).strip()
            raise Trouble(3, f"payments do not work after {patience} s: {shlex.join(command)} ended with {ended.returncode}: {said}")
        else:
            time.sleep(0.2)


def prometheus(settings):
    """With the rules and the configuration of deploy/prometheus, and this cluster as its targets."""
    folder = settings.folder / "prometheus"
    targets = {
        "crest-node": [settings.node_metrics(n) for n in range(1, settings.nodes + 1)],
        "crest-router": [settings.router_metrics(n) for n in range(1, settings.routers + 1)],
        "etcd": [f"{HOST}:{settings.etcd_port}"],
    }
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copyfile(PROMETHEUS_FILES / name, folder / name)
    for job, addresses in targets.items():
        # JSON is YAML too.
        text = json.dumps([{"labels": {"cluster": "local"}, "targets": addresses}])
        (folder / "targets" / f"{job}.yml").write_text(text)
    address = f"{HOST}:{settings.prometheus_port}"
    command = ["prometheus", "--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "data")]
    command += ["--web.listen-address", address, "--log.level", "warn"]
    return Part("prometheus", command, settings.folder, http_says(f"http://{address}/-/ready", "Ready"))


def start(parts, patience=60):
    """Starts parts side by side and waits until each is ready."""
    for part in parts:
        part.start()
    until = time.monotonic() + patience
    for part in parts:
        while not part.is_ready():
            if told_to_stop():
                raise KeyboardInterrupt
            ended = part.ended()
            if ended or time.monotonic() > until:
                raise Trouble(3, f"{part.name} {ended or f'was not ready within {patience} s'}; {part.last_words()}")
            time.sleep(0.05)


def welcome(settings, parts):
    """Where everything is, and what can be done with it."""
    crest = os.path.relpath(settings.crest) if settings.crest.startswith(str(REPOSITORY)) else settings.crest
    folder = os.path.relpath(settings.folder)
    of_nodes, of_routers = range(1, settings.nodes + 1), range(1, settings.routers + 1)
    watched = any(part.name == "prometheus" for part in parts)
    where = f"http://{HOST}:{settings.prometheus_port}/alerts" if watched else "not installed (Debian's package is prometheus)"
    # The command line's own default is port 7000.
    choose = "" if settings.router_port == 7000 else f"  export CREST_ROUTER={settings.router(1)}\n"
    return f"""
crest: {settings.nodes} nodes, {settings.shards} shards with {settings.replicas} replicas each, {settings.routers} routers, ready

  routers      {' '.join(settings.router(n) for n in of_routers)}
  nodes        {' '.join(settings.node(n) for n in of_nodes)}
  map          {settings.map}
  metrics      {' '.join(f'http://{settings.node_metrics(n)}/metrics' for n in of_nodes)}
               {' '.join(f'http://{settings.router_metrics(n)}/metrics' for n in of_routers)}
  Prometheus   {where}
  logs         {folder}/logs/
  processes    {' '.join(f'{part.name}={part.pid}' for part in parts)}

How it is:
  {crest} cluster status --cluster {settings.map}
A first payment:
{choose}  {crest} account create alice --ledger 1 --code 10
  {crest} account create carol --ledger 1 --code 10
  {crest} transfer send --from alice --to carol --amount 12.50 --scale 2 --ledger 1 --code 1

Ctrl-C stops everything in good order. The data stays in {folder}; `make cluster-clean` deletes it.
"""


def watch(parts):
    """Says when a part ends, until it is told to stop. Nothing is started again: what breaks is there to be looked at."""
    left = list(parts)
    while not told_to_stop():
        for part in [part for part in left if part.ended()]:
            left.remove(part)
            print(f"crest: {part.name} {part.ended()}; {part.last_words()}", file=sys.stderr)
            print(f"crest: the others go on. To start it again, in another terminal:\n  {part.command_line()}", file=sys.stderr)
        time.sleep(0.2)


def stop(parts):
    """Stops whoever needs others before them: routers, nodes, then the rest. Gives the names of those that had to be killed."""
    killed = []
    for kind in ("router-", "node-", "prometheus", "etcd"):
        ending = [part for part in parts if part.name.startswith(kind) and part.is_running()]
        if ending:
            print(f"crest: stopping {', '.join(part.name for part in ending)}", flush=True)
        for part in ending:
            part.terminate()
        killed += [part.name for part in ending if not part.wait(30)]
    return killed


def run(settings):
    check_programs(settings)
    parts = []

    def start_all(more):
        parts.extend(more)
        start(more)

    with lock(settings):
        check_data(settings)
        check_ports(settings)
        try:
            start_all([etcd(settings)])
            put_map(settings)
            start_all([node(settings, n) for n in range(1, settings.nodes + 1)])
            start_all([router(settings, n) for n in range(1, settings.routers + 1)])
            if shutil.which("prometheus"):
                start_all([prometheus(settings)])
            payments_work(settings)
            print(welcome(settings, parts), flush=True)
            watch(parts)
        except KeyboardInterrupt:
            pass
        finally:
            killed = stop(parts)
    if killed:
        raise Trouble(4, f"{', '.join(killed)} did not stop, and had to be killed")


def clean(settings):
    if not (settings.folder / "cluster.toml").exists():
        if settings.folder.exists():
            raise Trouble(2, f"{settings.folder} holds no cluster; it is left alone")
        return
    with lock(settings):
        shutil.rmtree(settings.folder)


def main(words):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, told_to_stop.by_signal)
    try:
        if words not in ([], ["clean"]):
            raise Trouble(2, f"{' '.join(words)}: expected nothing, or clean")
        (clean if words else run)(Settings.read())
    except Trouble as trouble:
        print(f"crest: {trouble}", file=sys.stderr)
        return trouble.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
