#!/bin/sh
# The price of the statistics for a hit in memory, in nanoseconds: with them, with them
# compiled out, and the difference; three times each, interleaved. At most 30.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
build() {
    RUSTFLAGS="${RUSTFLAGS:-} $1" CARGO_TARGET_DIR="$target/$2" \
        cargo build --quiet --release --bench statistics --message-format json |
        sed -n 's/.*"executable":"\([^"]*statistics-[^"]*\)".*/\1/p' | tail -1
}
with=$(build "" statistics-with)
without=$(build "--cfg larder_no_stats" statistics-without)
for run in 1 2 3; do
    a=$("$with" --bench)
    b=$("$without" --bench)
    awk -v a="$a" -v b="$b" 'BEGIN { printf "with %.1f ns, without %.1f ns: %.1f ns\n", a, b, a - b }'
done
