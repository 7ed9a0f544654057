#!/usr/bin/env bash
# Fail where the page's sources, its types or its built files are not what they should be. Changes nothing but node_modules.
set -euo pipefail
cd "$(dirname "$0")"
if grep -q '"resolved"' package-lock.json; then echo "web/package-lock.json names a registry: run npm install in web/ and commit it"; exit 1; fi
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npx tsc --noEmit
npx vitest run --reporter=dot
./types.sh --check
npx vite build --outDir "$work/built" --logLevel warn
diff -rq "$work/built" ../farm/ingress/web || { echo "farm/ingress/web is not what web/ builds: run make web and commit it"; exit 1; }
