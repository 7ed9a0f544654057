"""Users' images: the farm stores plain upright RGB, or rejects the file."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features

from farm.errors import TooLarge, UnsupportedImage
from farm.intake.images import CleanImage, clean_image
from framepack_engine.frames.images import upright_rgb
from tests.imports import ROOT

CAT = (ROOT / "examples" / "cat.jpg").read_bytes()


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def clean(data: bytes, *, max_pixels: int = 1_000_000) -> tuple[CleanImage, Image.Image]:
    """Return the stored bytes, and the image in them."""
    image = clean_image(data, max_pixels=max_pixels, upright_rgb=upright_rgb)
    return image, Image.open(io.BytesIO(image.png))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_formats_of_cameras_and_browsers_are_read(kind: str) -> None:
    """Each becomes a PNG of the same size."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image, stored = clean(saved(Image.new("RGB", (64, 48), "teal"), kind))
    assert (image.height, image.width, stored.format, stored.mode, stored.size) == (48, 64, "PNG", "RGB", (64, 48))


@pytest.mark.parametrize(("mode", "kind"), [("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("LA", "PNG")])
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    """Grey, palette and CMYK images become RGB."""
    assert clean(saved(Image.new(mode, (40, 40)), kind))[1].mode == "RGB"


def test_what_is_transparent_becomes_white() -> None:
    """White replaces alpha, and the transparent colour of a palette."""
    assert clean(saved(Image.new("RGBA", (40, 40), (255, 0, 0, 0))))[1].getpixel((3, 3)) == (255, 255, 255)
    assert clean(saved(Image.new("P", (40, 40), 0), transparency=0))[1].getpixel((3, 3)) == (255, 255, 255)


def test_16_bits_are_scaled_not_clipped() -> None:
    """A grey ramp over the whole range keeps its range."""
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    grey = np.asarray(clean(saved(Image.fromarray(ramp)))[1])[..., 0].astype(int)
    assert np.abs(grey - ramp / 257.0).max() <= 1


@pytest.mark.parametrize(("turn", "corner"), [(1, (0, 0)), (3, (79, 39)), (6, (39, 0)), (8, (0, 79))])
def test_camera_turns_are_applied(turn: int, corner: tuple[int, int]) -> None:
    """The picture's marked corner is where a viewer shows it, and the EXIF tag is gone."""
    image, exif = Image.new("RGB", (80, 40)), Image.Exif()
    image.putpixel((0, 0), (255, 255, 255))
    exif[0x0112] = turn
    stored = clean(saved(image, exif=exif))[1]
    assert stored.getpixel(corner) == (255, 255, 255)
    assert not stored.getexif()


def test_sizes_are_seen_before_decoding() -> None:
    """An image at the limit is accepted; one more row is not."""
    clean(saved(Image.new("1", (100, 100))), max_pixels=10_000)
    with pytest.raises(TooLarge, match="100x101"):
        clean(saved(Image.new("1", (100, 101))), max_pixels=10_000)
    with pytest.raises(UnsupportedImage, match="31x100"):
        clean(saved(Image.new("1", (31, 100))))


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Put a chunk behind a PNG's header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


TEAL = saved(Image.new("RGB", (64, 48), "teal"))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"eXIf", bytes.fromhex("0008000201120003")),
        (b"eXIf", b"II*\0\xff\xff\xff\xff"),
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20))),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3 << 20))),
        (b"iTXt", b"workflow\0\0\0\0\0" + bytes(3 << 20)),
        (b"tEXt", b"workflow\0" + b"a" * (70 << 20)),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(2 << 20))),
        (b"iCCP", b"profile\0\0garbage"),
        (b"gAMA", b""),
        (b"pHYs", b"x"),
        (b"juNk", b"anything"),
    ],
    ids=["exif", "exif offset", "zTXt", "iTXt", "iTXt plain", "70 MB", "iCCP", "bad iCCP", "gAMA", "pHYs", "unknown"],
)
def test_side_information_spoils_no_picture(kind: bytes, body: bytes) -> None:
    """Data beside the pixels may be large or damaged; the farm does not need it."""
    assert clean(with_chunk(TEAL, kind, body))[1].tobytes() == Image.open(io.BytesIO(TEAL)).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_damaged_exif_turns_nothing(kind: str) -> None:
    """Viewers show such pictures as they lie."""
    broken = saved(Image.new("RGB", (64, 48), "teal"), kind, exif=b"Exif\0\0" + bytes.fromhex("0008000201120003"))
    assert clean(broken)[1].size == (64, 48)


def test_xmp_may_turn_a_png() -> None:
    """Some programs write the orientation there only."""
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert clean(saved(Image.new("RGB", (80, 40)), pnginfo=notes))[1].size == (40, 80)


def test_the_transparent_level_of_16_bit_grey_becomes_white() -> None:
    """Its neighbours, equal in their upper 8 bits, stay."""
    levels = np.full((64, 64), 0x1234, np.uint16)
    levels[:, 32:] = 0x1235
    data = with_chunk(saved(Image.fromarray(levels)), b"tRNS", struct.pack(">H", 0x1234))
    grey = np.asarray(clean(data)[1])
    assert (grey[:, :32] == 255).all()
    assert (grey[:, 32:] == 0x12).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_may_lack_its_end_marker(*, progressive: bool) -> None:
    """All its pixels are there, and viewers show it. Without the last of them, the farm rejects it."""
    data = saved(Image.open(io.BytesIO(CAT)), "JPEG", progressive=progressive)
    assert clean(data[:-2])[0] == clean(data)[0]
    with pytest.raises(UnsupportedImage, match="truncated"):
        clean(data[: len(data) * 2 // 3])


@settings(max_examples=60)
@given(
    cut=st.integers(0, len(CAT)),
    flips=st.lists(st.tuples(st.integers(0, len(CAT) - 1), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_are_read_or_refused(cut: int, flips: list[tuple[int, int]]) -> None:
    """Any bytes give a picture or one of two errors."""
    data = bytearray(CAT)
    for place, value in flips:
        data[place] = value
    try:
        image, stored = clean(bytes(data[:cut]))
        taken = (stored.format, stored.mode, stored.size) == ("PNG", "RGB", (image.width, image.height))
    except (UnsupportedImage, TooLarge) as err:
        taken = err.facts["param"] == "image"
    assert taken
