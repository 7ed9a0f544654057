#!/usr/bin/env bash
# A photo in, a video out, on any machine: `render` starts a farm here, asks it over HTTP, and stops it again.
# The model is the one for machines without a GPU, and what to expect of it is said first.
# demo.sh [OUT.mp4 [FLAG…]]: further flags go to `render`, such as --seconds 1.
# A WebP of the video comes to lie beside it: README.md shows one, with the prompt.
set -euo pipefail
prompt="It gets darker."
top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$top/demo/coffee.mp4}
mkdir -p "$(dirname "$out")"
read -r model honest < <(python -c 'from framepack_engine.models.catalog import CPU_MODEL, MODELS; print(CPU_MODEL, MODELS[CPU_MODEL].honest)')
echo "demo: the model $model, $honest" >&2
framefarm render "$top/examples/coffee.jpg" --prompt "$prompt" --model "$model" --size 320x192 --seconds 3 --seed 7 -o "$out" "${@:2}"
webp=${out%.mp4}.webp
python -c 'import sys; from pathlib import Path
from lab.training.evaluate.moving_sheet import moving_picture
moving_picture(*map(Path, sys.argv[1:]))' "$out" "$webp"
echo "demo: $webp is the same, for a page" >&2
storage=${FARM_STORAGE:+" --storage ${FARM_STORAGE#"$PWD/"}"}
echo "demo: after \`source .venv/bin/activate\`, look at it: framefarm ui$storage" >&2
