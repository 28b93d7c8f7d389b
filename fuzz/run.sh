#!/usr/bin/env bash
# Fuzzes one target, or each in turn: fuzz/run.sh [TARGET|all] [SECONDS]
# Needs a C++ compiler for libFuzzer, and no nightly: the flags are those that cargo-fuzz sets, without a
# sanitizer, for there is no unsafe code. Corpora are kept in target/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")"

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg larder_internals -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
out=../target/fuzz
cargo build --release --quiet --target "$host" --target-dir "$out"

targets=${1:-all}
if [ "$targets" = all ]; then
    targets=$(basename -s .rs targets/*.rs)
fi
for target in $targets; do
    echo "fuzzing $target"
    mkdir -p "$out/corpus/$target"
    seeds=()
    [ "$target" != frame ] || seeds=(../tests/golden)
    if ! "$out/$host/release/$target" -max_total_time="${2:-30}" -artifact_prefix="$out/" \
        "$out/corpus/$target" "${seeds[@]}" >"$out/$target.log" 2>&1; then
        tail -40 "$out/$target.log"
        exit 1
    fi
    tail -1 "$out/$target.log"
done
