#!/usr/bin/env bash
# The price of the statistics for a hit in memory: with them, and with them compiled out,
# in turns on one machine. At most 30 ns more, and no allocation.
#
#   benches/statistics.sh [TURNS]     9 by default, of about 4 s each
#
# Times are the fastest of all turns: what else runs on the machine only adds to them.
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-9}
target=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

# larder alone is compiled otherwise: what it depends on is built once
mkdir -p "$target"
without="$target/rustc-without-statistics"
printf '#!/bin/sh\nexec "$@" --cfg larder_no_stats\n' >"$without"
chmod +x "$without"
build() {
    cargo build --quiet --release --bench statistics --message-format json |
        sed -n 's/.*"executable":"\([^"]*statistics-[^"]*\)".*/\1/p' | tail -1
}
with=$(build)
without=$(RUSTC_WORKSPACE_WRAPPER=$without build)
[ "$with" != "$without" ] || { echo "both builds are one" >&2; exit 1; }

for _ in $(seq "$turns"); do
    echo "$("$with" --bench) $("$without" --bench)"
done | awk '
    { a[NR] = $1; b[NR] = $3; with = $2; out = $4 }
    function least(of, n,   i, m) { m = of[1]; for (i = 2; i <= n; i++) if (of[i] < m) m = of[i]; return m }
    END {
        x = least(a, NR); y = least(b, NR)
        printf "%-24s %10s %12s\n", "a hit in memory", "ns", "allocations"
        printf "%-24s %10.1f %12s\n", "with statistics", x, with
        printf "%-24s %10.1f %12s\n", "compiled out", y, out
        printf "%-24s %10.1f %12d   wanted: at most 30, and 0\n", "difference", x - y, with - out
        exit !(x - y <= 30 && with == out)
    }'
