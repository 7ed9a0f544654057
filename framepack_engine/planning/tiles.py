"""Spatial tiles of the decode: their size, and the memory of a decode with and without them. Loads no torch.

Tiles of another size give other bits, because their seams lie elsewhere. So a video has one size: it is chosen from the
memory that is free when the video begins. docs/decisions/0016 has the measurements.
"""

from __future__ import annotations

from framepack_engine.errors import InvalidSpec

TILE_STEP_PX = 32  #: so that a tile's overlap, a quarter of it, is a whole number of latent pixels
TILE_MIN_PX, TILE_MAX_PX = 64, 2048
TILE_DEFAULT_PX = 256  #: diffusers' own
TILE_SIZES_PX = (512, 384, 256, 192, 128)  #: to choose from, largest first
_FRAMES = 17  #: that diffusers decodes at once: 16 and the one before
_COPIES = 6  #: of the widest activation at full size; measured 5.5 on a CPU
_FIXED_BYTES = 256 << 20  #: at any size; measured 163 MiB
STRIP_NUMBERS = 1 << 28  #: of a convolution's input that is padded at a time, see frugal_decode
#: of a whole picture's decode: copies of the widest activation, strips, and copies of the decoded pictures. Counted
#: tensor by tensor on torch's meta device: 2.5, 1.5 and 1; the rest is for what kernels work with, an assumption
_WHOLE_COPIES, _STRIPS, _PICTURES = 2.5, 3.5, 2
#: of the middle's attention at once. With more, its mask has over 2^32 numbers, and torch's masked attention on CUDA
#: silently gives wrong results: pytorch issue 187227
_MASKED_TOKENS = 1 << 16
_SHARE = 0.5  #: of the free memory; the rest is for fragments and other programs


def check_tile(decode: str, tile_px: int | None) -> None:
    """Check that a decode with a tile size is a tiled one. Raises: InvalidSpec."""
    if tile_px is not None and decode != "tiled":
        raise InvalidSpec(
            f"decode_tile_px={tile_px}: decode={decode} has no tiles; set decode=tiled, or leave the tile size out",
            field="decode_tile_px",
        )


def check_picture(decode: str, height: int, width: int, *, window: int) -> None:
    """Check that every device decodes pictures of this size (px) correctly. Raises: InvalidSpec if tiles are needed."""
    if decode == "tiled":
        return
    latent_frames = 5 if decode == "framewise" else 2 * window + 1
    tokens = latent_frames * (height // 8) * (width // 8)
    if tokens > _MASKED_TOKENS:
        most = _MASKED_TOKENS // latent_frames * 64
        raise InvalidSpec(
            f"decode={decode}: it is correct up to {most:,} px on a GPU; {width}x{height} has {height * width:,} px; "
            "set decode=tiled",
            field="decode",
        )


def tile_bytes(tile_px: int, *, channels: int, itemsize: int) -> int:
    """Return the peak memory of decoding one tile of 17 frames, without the weights.

    channels: the widest activation at full size, `block_out_channels[1]` of the VAE. itemsize: bytes a number.
    """
    return _FIXED_BYTES + _COPIES * channels * itemsize * _FRAMES * tile_px * tile_px


def picture_bytes(height: int, width: int, *, frames: int, channels: int, itemsize: int) -> int:
    """Return the peak memory of decoding whole pictures, 17 frames at a time, without the weights.

    frames: all that are decoded. channels, itemsize: as in `tile_bytes`.
    """
    widest = channels * _FRAMES * height * width
    strip = min(STRIP_NUMBERS, channels * (_FRAMES + 2) * (height + 2) * (width + 2))
    tokens = 5 * (height // 8) * (width // 8)  # of the middle's attention: its mask is a matrix, float32 and then ours
    computing = max((_WHOLE_COPIES * widest + _STRIPS * strip) * itemsize, (4 + itemsize) * tokens * tokens)
    return int(computing) + _PICTURES * 3 * itemsize * frames * height * width + _FIXED_BYTES


def choose_tile_px(free_bytes: int, *, channels: int, itemsize: int) -> int:
    """Return the largest tile that fits into half of the free memory, or the smallest tile."""
    for tile_px in TILE_SIZES_PX:
        if tile_bytes(tile_px, channels=channels, itemsize=itemsize) <= _SHARE * free_bytes:
            return tile_px
    return TILE_SIZES_PX[-1]
