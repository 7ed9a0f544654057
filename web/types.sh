#!/usr/bin/env bash
# Write src/api/schema.ts, the TypeScript types of the farm's own OpenAPI document. Needs no server.
# --check writes nothing and fails where the file is old.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd .. && PYTHONPATH=. .venv/bin/python - "$work/openapi.json") <<'PYTHON'
import json, pathlib, sys, types
from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.settings import FarmSettings

nothing = types.SimpleNamespace(store=None)  # describing the calls asks neither store nor dispatcher
app = create_app(settings=FarmSettings(), jobs=nothing, door=nothing, planner=EnginePlanner(), media=EngineMedia())
pathlib.Path(sys.argv[1]).write_text(json.dumps(app.openapi()))
PYTHON
npx openapi-typescript "$work/openapi.json" -o "$work/schema.ts" >"$work/log" || { cat "$work/log"; exit 1; }
if [ "${1:-}" = --check ]; then
  cmp -s "$work/schema.ts" src/api/schema.ts || { echo "web/src/api/schema.ts is old: run web/types.sh and commit it"; exit 1; }
else
  cp "$work/schema.ts" src/api/schema.ts
fi
