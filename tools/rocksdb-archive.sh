#!/usr/bin/env bash
# Builds librocksdb.a once for this machine and prints the folder that holds it.
#
#   tools/rocksdb-archive.sh            build if it is not there yet, then print its folder
#   tools/rocksdb-archive.sh --where    print the folder without building
#   tools/rocksdb-archive.sh --help
#
# Why: the C++ of RocksDB is most of a first build, and cargo compiles it again for every profile, target folder and
# change of flags. The sources are the ones inside the crate that Cargo.lock names, so crate and archive always match.
# They are compiled as unity batches (many .cc files in one compiler call): headers are parsed once a batch instead of
# once a file. A batch that does not compile as one is compiled file by file.
#
# The folder's name holds a hash of everything that shapes the archive (crate version, this script, compiler, CPU
# architecture), so a stale archive is never linked; delete the folder at any time and the next build makes it again.
# CREST_ROCKSDB_CACHE moves it (default: ${XDG_CACHE_HOME:-~/.cache}/crest).
set -euo pipefail

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in
  --help|-h) usage; exit 0 ;;
  ""|--where) ;;
  *) echo "rocksdb-archive.sh: unknown argument '$1'; expected nothing, --where or --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
batch_files=${UNITY_FILES:-12}
cxx=${CXX:-c++}

packages=$(cargo metadata --locked --format-version 1 2>/dev/null || cargo metadata --format-version 1)
crate_of() {
  printf '%s' "$packages" | grep -oE "\"manifest_path\":\"[^\"]*/$1-[0-9][^\"]*/Cargo.toml\"" | head -n 1 |
    sed -e 's/^"manifest_path":"//' -e 's,/Cargo.toml"$,,'
}
sys=$(crate_of librocksdb-sys)
lz4=$(crate_of lz4-sys)
[ -n "$sys" ] && [ -n "$lz4" ] || { echo "rocksdb-archive.sh: cargo metadata names no librocksdb-sys and lz4-sys" >&2; exit 1; }

key=$( { basename "$sys"; basename "$lz4"; cat "$0"; "$cxx" --version; uname -m; } | sha256sum | cut -c1-16)
dir="${CREST_ROCKSDB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crest}/rocksdb-$key"
if [ "${1:-}" = --where ] || [ -f "$dir/librocksdb.a" ]; then echo "$dir"; exit 0; fi

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if [ -f "$dir/librocksdb.a" ]; then echo "$dir"; exit 0; fi

work="$dir/work"
rm -rf "$work"; mkdir -p "$work"
cpu=()
[ "$(uname -m)" = x86_64 ] && cpu=(-march=x86-64-v2)
[ "$(uname -m)" = aarch64 ] && cpu=(-march=armv8-a+crc+crypto)
# The defines are those of the crate's own build script for Linux with the lz4 feature.
flags=(-std=c++20 -O2 -fPIC -fno-omit-frame-pointer -ffunction-sections -fdata-sections "${cpu[@]}" -include cstdint -w
  -DNDEBUG -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX
  -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
  -I"$sys/rocksdb/include" -I"$sys/rocksdb" -I"$sys/rocksdb/third-party/gtest-1.8.1/fused-src" -I"$sys" -I"$lz4/liblz4/lib")

# Files of one folder go together: they share headers, and their file-local names were chosen side by side.
awk -v n="$batch_files" -v root="$sys/rocksdb/" -v out="$work/" '
  { file = $1; folder = file; sub(/\/[^\/]*$/, "", folder)
    if (file == "util/build_version.cc" || file == "") next
    if (folder != last || used == n) { batch++; used = 0; last = folder }
    used++; print root file > (out sprintf("batch%03d.list", batch)) }' "$sys/rocksdb_lib_sources.txt"
echo "$sys/build_version.cc" > "$work/batch999.list"

compile_batch() {
  local list=$1 stem=${1%.list} file n=0
  sed 's/.*/#include "&"/' "$list" > "$stem.cc"
  if "$CXX_" "${flags[@]}" -c "$stem.cc" -o "$stem.o" 2>"$stem.log"; then
    rm -f "$stem.log"
  else
    rm -f "$stem.o"
    while read -r file; do
      n=$((n + 1)); "$CXX_" "${flags[@]}" -c "$file" -o "$stem-$n.o"
    done < "$list"
  fi
  printf '\rbuilding RocksDB: %d of %d batches' "$(ls "$DIR_" | grep -cE '^batch[0-9]{3}(-1)?\.o$')" "$TOTAL_" >&2
}
export -f compile_batch
export CXX_="$cxx" DIR_="$work" TOTAL_="$(ls "$work" | grep -c 'list$')"
declare -p flags > "$work/flags.sh"
echo "building RocksDB once for this machine, with $jobs jobs (a few minutes); it is kept in $dir" >&2
ls -S "$work"/*.list | xargs -P "$jobs" -n 1 bash -c 'set -e; source "$DIR_/flags.sh"; compile_batch "$0"'
echo >&2
ar crs "$work/librocksdb.a" "$work"/*.o
mv "$work/librocksdb.a" "$dir/librocksdb.a"
if [ -z "${KEEP_WORK:-}" ]; then rm -rf "$work"; fi
echo "$dir"
