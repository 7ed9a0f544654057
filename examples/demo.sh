#!/usr/bin/env bash
# A photo in, a video out, on any machine: `render` starts a farm here, asks it over HTTP, and stops it again.
# The model is the one for machines without a GPU, and what to expect of it is said first.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p demo
read -r model honest < <(python -c 'from framepack_engine.catalog import CPU_MODEL, MODELS; print(CPU_MODEL, MODELS[CPU_MODEL].honest)')
echo "demo: the model $model, $honest" >&2
exec framefarm render examples/cat.jpg \
    --prompt "It gets darker slowly." \
    --model "$model" --seconds 3 --seed 7 -o demo/cat.mp4
