"""Size buckets: the picture sizes that the model was trained on. Loads no torch."""

from __future__ import annotations

from framepack_engine.errors import InvalidSpec

_RESOLUTION = 640
_STEP = 32
_SMALLEST = 64
_LANDSCAPE = ((416, 960), (448, 864), (480, 832), (512, 768), (544, 704), (576, 672), (608, 640))
_TRAINED = (*_LANDSCAPE, *((width, height) for height, width in reversed(_LANDSCAPE)))


def _scaled(side: int, resolution: int) -> int:
    """Scale `side` by resolution/640, to the nearest multiple of 32 (halves up), at least 64."""
    return max((side * resolution + _RESOLUTION * _STEP // 2) // (_RESOLUTION * _STEP) * _STEP, _SMALLEST)


def buckets(resolution: int = _RESOLUTION) -> tuple[tuple[int, int], ...]:
    """Return each (height, width) of a resolution class in px, in order of rising height.

    Source: lllyasviel/FramePack diffusers_helper/bucket_tools.py for 640; other classes scale these.
    """
    if resolution < 1:
        raise InvalidSpec(f"resolution={resolution}: need at least 1", field="resolution")
    return tuple((_scaled(height, resolution), _scaled(width, resolution)) for height, width in _TRAINED)


def nearest_bucket(height: int, width: int, resolution: int = _RESOLUTION) -> tuple[int, int]:
    """Return the (height, width) in px of the bucket whose shape is nearest to an image of height × width.

    The comparison is always with the 640 px buckets, on which the model was trained; on a tie the higher bucket wins.
    """
    if height < 1 or width < 1:
        raise InvalidSpec(f"an image of {width}x{height} px has no shape", field="size")
    best = min(range(len(_TRAINED)), key=lambda i: (abs(height * _TRAINED[i][1] - width * _TRAINED[i][0]), -i))
    return buckets(resolution)[best]
