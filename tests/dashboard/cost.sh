#!/usr/bin/env bash
# What the admin page costs its server: CPU time of examples/dashboard with 200
# endpoints and 1,000 requests/s in memory, without and with five who look on.
#
#   tests/dashboard/cost.sh [SECONDS]     30 by default, each
#
# Needs curl. Prints the share of one core for both, and the difference.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}

example=$(cargo build --release --all-features --example dashboard --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"dashboard".*"executable":"\([^"]*\)".*/\1/p')
log=$(mktemp)
REDIS_URL='' "$example" --port 0 --endpoints 200 --rate 1000 >"$log" &
server=$!
viewers=()
trap 'kill "$server" ${viewers[@]+"${viewers[@]}"} 2>/dev/null; rm -f "$log"' EXIT
until grep -q token "$log"; do sleep 0.1; done
page=$(sed -n 's/^page *//p' "$log")
sleep 10 # every endpoint has been asked

cpu() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
share() { # of one core over some time, in percent
    local before after
    before=$(cpu); sleep "$seconds"; after=$(cpu)
    awk -v d=$((after - before)) -v hz="$(getconf CLK_TCK)" -v s="$seconds" 'BEGIN { printf "%.2f\n", 100 * d / hz / s }'
}
alone=$(share)
for _ in 1 2 3 4 5; do
    curl -sN -H 'authorization: Bearer only-for-the-example' "$page/events" >/dev/null &
    viewers+=($!)
done
watched=$(share)
size=$(timeout 15 curl -sN -H 'authorization: Bearer only-for-the-example' "$page/events" | head -1 | wc -c || true)
echo "nobody looks on: $alone % of one core; five do: $watched %; the page: $(awk -v a="$alone" -v b="$watched" 'BEGIN { printf "%.2f", b - a }') %; a message has $size bytes"
