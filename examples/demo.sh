#!/usr/bin/env bash
# A photo in, a video out, on any machine: `render` starts a farm here, asks it over HTTP, and stops it again.
# The model `tiny` has random weights: it proves the machinery, the picture is noise.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p demo
exec framefarm render examples/cat.jpg \
    --prompt "The cat turns its head and looks into the camera." \
    --model tiny --seconds 3 --seed 7 -o demo/cat.mp4
