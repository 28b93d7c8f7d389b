#!/usr/bin/env bash
# Counts what a hit in memory costs, for machines on which times are worth
# nothing: instructions, misses of the first and second caches, mispredicted
# branches, how much code each request runs, and allocations. Each is of one
# request, its making included, beside the plain handler.
#
#     benches/count.sh                    # all cases of `cargo bench --bench hit`
#     benches/count.sh "on the route"     # one, and the functions that run most code
#     CACHES="--I1=32768,8,64 --D1=32768,8,64 --LL=1048576,8,64" benches/count.sh
#
# Needs valgrind and python3. The allocator's instructions stand apart: they
# depend on what the heap looks like, which no service chooses.
set -euo pipefail
cd "$(dirname "$0")/.."

requests=5000
caches=${CACHES:---I1=32768,8,64 --D1=32768,8,64 --LL=262144,8,64}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

build() {
    cargo bench --bench "$1" --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1
}

count() {
    # shellcheck disable=SC2086 # several options
    valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*cases::case::*closure*' \
        --cache-sim=yes --branch-sim=yes $caches \
        --dump-instr=yes --compress-pos=no --compress-strings=no \
        --callgrind-out-file="$out/$2" "$hit" "$1" $requests >"$out/log" 2>&1 ||
        { cat "$out/log" >&2; exit 1; }
}

hit=$(build hit)
if [ $# -gt 0 ]; then
    count "$1" 0
    exec python3 benches/count.py --functions "$requests" "$1=$out/0"
fi
cases=("plain axum handler" "ready clone" "around, one policy" "around, table" "on the route")
files=()
for n in "${!cases[@]}"; do
    count "${cases[$n]}" "$n"
    files+=("${cases[$n]}=$out/$n")
done
python3 benches/count.py "$requests" "${files[@]}"
echo
cargo bench --bench allocations 2>/dev/null
