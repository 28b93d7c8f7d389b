#!/usr/bin/env bash
# The admin page in a real browser: examples/dashboard, a Redis of its own, and
# headless Chromium.
#
#   tests/dashboard.sh             checks it
#   tests/dashboard.sh --install   installs chromium first (root, Debian or Ubuntu); so does CI=true
#   tests/dashboard.sh --pictures  also writes docs/dashboard-{light,dark}.png anew
#
# Needs node 20 or newer, npm, chromium and redis-server. playwright-core and axe-core
# go into target/dashboard. Takes about a minute.
#
# exit: 0 passed, 1 a check failed, 2 the run itself went wrong, 77 node, npm or chromium is missing
set -euo pipefail
cd "$(dirname "$0")/.."

playwright=1.65.1
axe=4.14.1

install=${CI:-} pictures=
for arg in "$@"; do
    case $arg in
    --install) install=true ;;
    --pictures) pictures=--pictures ;;
    -h | --help) sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "tests/dashboard.sh: unknown option $arg; see --help" >&2; exit 2 ;;
    esac
done
fail() { echo "tests/dashboard.sh: $1" >&2; exit "${2:-2}"; }
have() { command -v "$1" >/dev/null 2>&1; }

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ] || ! have npm; then
    fail "needs node 20 or newer and npm: install them from https://nodejs.org" 77
fi
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$browser" ] && [ -n "$install" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    apt-get update >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >/dev/null || true
    browser=$(command -v chromium || true)
fi
[ -n "$browser" ] || fail "needs chromium: as root, apt-get install chromium, or tests/dashboard.sh --install" 77
redis=${REDIS_SERVER:-redis-server}
have "$redis" || fail "needs $redis: as root, apt-get install redis-server" 77

# whoever is first puts it there whole; runs side by side do not see a half of it
home=target/dashboard/playwright-$playwright-axe-$axe
if [ ! -d "$home" ]; then
    mkdir -p target/dashboard
    fresh=$(mktemp -d target/dashboard/installing.XXXXXX)
    trap 'rm -rf "$fresh"' EXIT
    npm install --prefix "$fresh" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
        "playwright-core@$playwright" "axe-core@$axe" >&2 || fail "npm cannot install playwright-core and axe-core"
    node -e 'fs.renameSync(...process.argv.slice(1))' "$fresh" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write $home"
    rm -rf "$fresh"
    trap - EXIT
fi

# pictures show the latencies of what users run
example=$(cargo build ${pictures:+--release} --all-features --example dashboard --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"dashboard".*"executable":"\([^"]*\)".*/\1/p') || fail "the example does not build"
[ -x "$example" ] || fail "cargo does not tell where the example is"

exec node --no-warnings tests/dashboard/run.mjs "$home/node_modules" "$browser" "$redis" "$example" $pictures
