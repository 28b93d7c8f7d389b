#!/usr/bin/env bash
# Checks the declared rust-version. No dependency of the library may ask for more, and one asks for just that
# (our own code is checked by clippy's incompatible_msrv). With --build, and that toolchain installed, builds with it.
set -euo pipefail
cd "$(dirname "$0")/.."

declared=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
registry=$(cargo metadata --format-version 1 --all-features --quiet |
    tr ',' '\n' | sed -n 's/^"manifest_path":"\(.*\)"$/\1/p')
needed=0
while read -r name version; do
    manifest=$(grep -E "/$name-$version/Cargo.toml$" <<<"$registry" || true)
    [ -n "$manifest" ] || continue
    asks=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$manifest" | head -1)
    needed=$(printf '%s\n%s\n' "$needed" "${asks:-0}" | sort -V | tail -1)
done < <(cargo tree --all-features --edges normal,build --prefix none --format '{p}' |
    awk '{sub(/^v/, "", $2); print $1, $2}' | sort -u)
if [ "$(printf '%s\n%s\n' "$declared" "$needed" | cut -d. -f1,2 | uniq | wc -l)" != 1 ]; then
    echo "Cargo.toml declares Rust $declared, its dependencies need $needed" >&2
    exit 1
fi
echo "Rust $declared: declared, and the highest that a dependency asks for"

if [ "${1:-}" = --build ]; then
    if rustup run "$declared" cargo --version >/dev/null 2>&1; then
        rustup run "$declared" cargo check --lib --all-features --target-dir target/msrv
    else
        echo "to build with it too: rustup toolchain install $declared"
    fi
fi
