#!/usr/bin/env bash
# Installs what Crest's build and tests need from a Debian or Ubuntu distribution. Installs only what is missing, says what it
# does, and can be run any number of times. The Rust toolchain has to be there already.
set -euo pipefail

command -v cargo >/dev/null || { echo "install.sh: no cargo found; install a Rust toolchain first (https://rustup.rs)" >&2; exit 1; }

missing=()
# Whether any of these patterns matches a file: unlike `ls`, one that matches nothing does not spoil the others.
any() { local pattern; for pattern in "$@"; do compgen -G "$pattern" >/dev/null && return 0; done; return 1; }
command -v c++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
# RocksDB's bindings are generated at build time by libclang, which also needs its own headers. (libclang-cpp is another
# library.) LIBCLANG_PATH names a libclang of your own.
if [ -z "${LIBCLANG_PATH:-}" ]; then
  any '/usr/lib/llvm-*/lib/libclang.so*' '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' '/usr/lib/*/libclang.so*' \
    '/usr/lib/*/libclang-[0-9]*.so*' || missing+=(libclang-dev)
  any '/usr/lib/llvm-*/lib/clang/*/include' '/usr/lib/clang/*/include' || missing+=(libclang-dev)
fi
# The Python client's test makes a virtual environment.
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
# The tests of the map's stores start an etcd of their own.
command -v etcd >/dev/null || missing+=(etcd-server)

if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if ! command -v apt-get >/dev/null; then
  echo "install.sh: missing: ${missing[*]}; this system has no apt-get, so install them by hand" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install.sh: missing: ${missing[*]}; run 'apt-get install ${missing[*]}' as root" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing from the distribution: ${missing[*]}"

# Debian starts a service when its package is installed, and at every boot. Nobody has asked for an etcd that runs on this
# machine: one that the tests start is all there is to be. Packages ask policy-rc.d whether they may start something; 101 is no.
policy=/usr/sbin/policy-rc.d
with_etcd=no
if [[ " ${missing[*]} " == *" etcd-server "* ]]; then
  with_etcd=yes
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
fi
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
if [ "$with_etcd" = yes ]; then
  # A policy that was here before may have allowed it; and the next boot must not start it either.
  "${as_root[@]}" service etcd stop >/dev/null 2>&1 || true
  "${as_root[@]}" update-rc.d etcd disable >/dev/null 2>&1 || true
  if [ -d /run/systemd/system ]; then "${as_root[@]}" systemctl disable etcd.service >/dev/null 2>&1 || true; fi
fi
