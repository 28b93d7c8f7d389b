#!/usr/bin/env bash
# The one test command: formatting, lints, documentation, every feature alone, all tests,
# the public cache tests where node is, and the admin page where chromium is too.
#
#   tests/run.sh            everything that fits into a few minutes
#   tests/run.sh --install  installs what is missing first (root, Debian or Ubuntu); so does CI=true
#   tests/run.sh --full     also the declared Rust version where rustup has it, the model of flights, the fuzz targets
#                           where a C++ compiler is, and the benches
set -euo pipefail
cd "$(dirname "$0")/.."

install=${CI:-} full=
for arg in "$@"; do
    case $arg in
    --install) install=true ;;
    --full) full=true ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option $arg; see --help" >&2; exit 2 ;;
    esac
done

# on a machine that builds once and throws away: what only a second build or a debugger would read is gigabytes
if [ -n "$install" ]; then export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false; fi

stage() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
have() { command -v "$1" >/dev/null 2>&1; }

stage "what the tests need"
mkdir -p target
free=$(df -Pk target | awk 'NR == 2 { print int($4 / 1024) }')
if [ "$free" -lt 6000 ]; then
    echo "only $free MB are free where target/ lies: the tests take 3,000 MB there with --install, 5,000 without" >&2
fi
have cargo || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
# a C compiler for SQLite and zstd, OpenSSL's program for test certificates
missing=()
have cc || missing+=(gcc libc6-dev)
have openssl || missing+=(openssl)
have redis-server || have valkey-server || missing+=(redis-server)
if [ ${#missing[@]} -gt 0 ]; then
    line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if [ -n "$install" ] && [ "$(id -u)" = 0 ] && have apt-get; then
        DEBIAN_FRONTEND=noninteractive bash -c "$line" >/dev/null
    else
        echo "missing: ${missing[*]}. As root: $line" >&2
        echo "or: sudo tests/run.sh --install" >&2
        exit 1
    fi
fi
# wanted, not needed: node 20 runs the public cache tests
if ! have node && [ -n "$install" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    apt-get update >/dev/null || true
    candidate=$(apt-cache policy nodejs | sed -n 's/^ *Candidate: \([0-9]*\).*/\1/p')
    if [ "${candidate:-0}" -ge 20 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm >/dev/null
    fi
fi
# and promtool checks the rules in ops
if ! have promtool && [ -n "$install" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus >/dev/null 2>&1 ||
        echo "prometheus could not be installed: the rules in ops are not checked"
fi
if ! have redis-server; then export REDIS_SERVER=valkey-server; fi
for component in rustfmt clippy; do
    cargo "${component/rust/}" --version >/dev/null 2>&1 ||
        { echo "missing: rustup component add $component" >&2; exit 1; }
done

stage "format"
cargo fmt --check

stage "lints"
cargo clippy --all-targets --all-features -- -D warnings

stage "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --quiet
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib --quiet

stage "each feature alone, none, and all"
# by clippy, which shares the dependencies with the stage of lints: other RUSTFLAGS would build them anew
lib() { cargo clippy --quiet --lib "$@" -- -D warnings; }
lib --no-default-features
features=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z_]*\) = \[.*/\1/p' Cargo.toml | grep -v '^default$')
for feature in $features; do
    echo "feature $feature"
    lib --no-default-features --features "$feature"
done
lib --all-features

stage "declared Rust version"
tests/msrv.sh ${full:+--build}

stage "tests"
cargo test --all-features

stage "public cache tests"
conformance=0
tests/conformance.sh || conformance=$?
case $conformance in
0) ;;
77) echo "skipped: the public cache tests did not run" ;;
*) exit 1 ;;
esac

stage "the admin page in a browser"
page=0
tests/dashboard.sh || page=$?
case $page in
0) ;;
77) echo "skipped: the admin page was not looked at" ;;
*) exit 1 ;;
esac

if [ -n "$full" ]; then
    stage "model of flights"
    RUSTFLAGS="--cfg larder_shuttle" cargo test --quiet --lib flight::model --target-dir target/shuttle

    stage "fuzz targets"
    if have c++; then
        fuzz/run.sh all 20
    else
        echo "skipped: the fuzz targets need a C++ compiler"
    fi

    stage "benches"
    cargo bench --bench hit
    cargo bench --bench allocations
fi

stage "all passed"
