#!/usr/bin/env bash
# Checks pages in headless Chromium: `tests/page/check.sh RESULTS [FOLDER_FOR_SCREENSHOTS]`; or watches the
# page of a running sweep: `tests/page/check.sh --live PAGE`; or looks at a page of its own:
# `tests/page/check.sh --plain PAGE`.
#
# Installs playwright-core and axe-core under target/. A browser is installed only where that was asked for
# (EXPERTGRID_INSTALL=1, as `make test-page` sets it) or on a machine of continuous integration (CI=true).
# Exit codes: 0 all fine, 1 something is wrong, 77 could not be checked.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
tools="$here/../../target/page-test"

skip() { echo "SKIPPED: the pages were not looked at: $1" >&2; exit 77; }

command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not installed"
find_browser() {
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [ -n "$name" ] && command -v "$name" && return
    done
}
browser="$(find_browser)"
if [ -z "$browser" ] && { [ "${EXPERTGRID_INSTALL:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1
        browser="$(find_browser)"
    fi
fi
[ -n "$browser" ] || skip "no chromium here; install it, or name one with CHROMIUM=PATH, or let \`make test-page\` try"

mkdir -p "$tools"
if ! cmp -s "$here/package.json" "$tools/package.json" || [ ! -d "$tools/node_modules/axe-core" ]; then
    cp "$here/package.json" "$tools/package.json"
    (cd "$tools" && timeout 120 npm install --no-audit --no-fund --ignore-scripts >/dev/null 2>&1) || {
        rm -f "$tools/package.json"
        skip "npm could not install playwright-core and axe-core"
    }
fi
cp "$here"/*.mjs "$tools/"
if [ "${1:-}" = --plain ]; then exec node "$tools/plain.mjs" "$browser" "$2"; fi
if [ "${1:-}" = --live ]; then exec node "$tools/live.mjs" "$browser" "$2"; fi
exec node "$tools/check.mjs" "$browser" "$@"
