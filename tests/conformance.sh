#!/usr/bin/env bash
# The public HTTP cache tests (http-cache-tests on npm) against examples/gateway.
#
#   tests/conformance.sh                    the totals, and each failing test with its reason
#   TEST_ID=vary-match tests/conformance.sh one test, with its requests and responses
#   tests/conformance.sh -- OPTION ..       more options for the gateway
#
# Fails if a test of tests/conformance/{required,optimal}.txt fails that is not
# in may-fail.txt there. Needs node 20 or newer and npm; the suite itself goes
# into target/conformance. Takes about half a minute.
#
# exit: 0 passed, 1 a test failed, 2 the run itself went wrong, 77 node or npm is missing
set -euo pipefail
cd "$(dirname "$0")/.."

suite=http-cache-tests
version=0.4.5

case ${1-} in
-h | --help) sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
--) shift ;;
"") ;;
*) echo "tests/conformance.sh: unknown option $1; see --help" >&2; exit 2 ;;
esac
fail() { echo "tests/conformance.sh: $1" >&2; exit "${2:-2}"; }

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ] || ! command -v npm >/dev/null; then
    fail "needs node 20 or newer and npm: install them from https://nodejs.org" 77
fi

# whoever is first puts it there whole; runs side by side do not see a half of it
home=target/conformance/$suite-$version
if [ ! -d "$home" ]; then
    mkdir -p target/conformance
    fresh=$(mktemp -d target/conformance/installing.XXXXXX)
    trap 'rm -rf "$fresh"' EXIT
    npm install --prefix "$fresh" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
        "$suite@$version" >&2 || fail "npm cannot install $suite@$version"
    node -e 'fs.renameSync(...process.argv.slice(1))' "$fresh" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write $home"
    rm -rf "$fresh"
    trap - EXIT
fi

gateway=$(cargo build --example gateway --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"gateway".*"executable":"\([^"]*\)".*/\1/p') || fail "the gateway does not build"
[ -x "$gateway" ] || fail "cargo does not tell where the gateway is"

exec node --no-warnings tests/conformance/run.mjs "$home/node_modules/$suite" "$gateway" "$@"
