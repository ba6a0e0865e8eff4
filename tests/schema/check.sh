#!/usr/bin/env bash
# Checks manifests with taplo, which editors use, against the schema that their first lines name:
# `tests/schema/check.sh MANIFEST...`. Installs taplo under target/.
# Exit codes: those of taplo (0 all fine, 1 something is wrong), 77 it could not be had.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
tools="$here/../../target/schema-test"

skip() { echo "SKIPPED: manifests were not checked with taplo: $1" >&2; exit 77; }

command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not installed"
mkdir -p "$tools"
if ! cmp -s "$here/package.json" "$tools/package.json" || [ ! -x "$tools/node_modules/.bin/taplo" ]; then
    cp "$here/package.json" "$tools/package.json"
    (cd "$tools" && timeout 120 npm install --no-audit --no-fund --ignore-scripts >/dev/null 2>&1) || {
        rm -f "$tools/package.json"
        skip "npm could not install @taplo/cli"
    }
fi
NO_COLOR=1 exec "$tools/node_modules/.bin/taplo" lint "$@"
