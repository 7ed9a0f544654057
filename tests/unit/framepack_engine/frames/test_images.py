"""Pictures of every kind become upright RGB of the video's size, or are refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from framepack_engine.errors import BadImage
from framepack_engine.frames.images import fit, pixels, upright_rgb


def through(image: Image.Image, form: str, **options: object) -> Image.Image:
    """`image` as it comes back from a file of that format."""
    data = io.BytesIO()
    image.save(data, form, **options)
    return Image.open(io.BytesIO(data.getvalue()))


def test_exif_rotation_is_applied_once() -> None:
    """A picture stored on its side is shown upright, and is not turned again by a second pass."""
    stored = Image.new("RGB", (40, 20), "blue")
    ImageDraw.Draw(stored).rectangle((0, 0, 9, 19), fill="red")  # the left edge is the top, once turned
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = upright_rgb(through(stored, "JPEG", exif=exif, quality=95))
    assert turned.size == (20, 40)
    red, _, blue = turned.getpixel((10, 2))  # type: ignore[misc]
    assert red > blue
    assert upright_rgb(turned).tobytes() == turned.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_shown_over_white(mode: str) -> None:
    """Transparent pixels become white and opaque ones keep their brightness, in every mode with transparency."""
    source = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    source.paste((40, 40, 40, 255), (0, 0, 2, 4))
    if mode == "P":
        converted = Image.new("P", (4, 4), 0)
        converted.putpalette([0, 0, 0, 40, 40, 40])
        converted.paste(1, (0, 0, 2, 4))
        converted = through(converted, "PNG", transparency=0)
    else:
        converted = source.convert(mode)
    shown = upright_rgb(converted)
    assert shown.mode == "RGB"
    assert shown.getpixel((3, 0)) == (255, 255, 255)
    assert shown.getpixel((0, 0)) == (40, 40, 40)


def test_sixteen_bit_grey_keeps_its_upper_bits() -> None:
    """A 16-bit picture is scaled, not clipped to white."""
    deep = Image.fromarray(np.array([[0, 256, 32768, 65535]], dtype=np.uint16))
    shown = upright_rgb(through(deep, "PNG"))
    assert [shown.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGB", "RGBX"])
def test_other_modes_become_rgb(mode: str) -> None:
    """Every mode with a defined colour is taken; `image` itself is left as it was."""
    image = Image.new("RGB", (8, 6), "white").convert(mode) if mode != "LAB" else Image.new("LAB", (8, 6))
    before = image.tobytes()
    shown = upright_rgb(image)
    assert (shown.mode, shown.size) == ("RGB", (8, 6))
    assert image.tobytes() == before


def test_an_animation_gives_its_first_frame() -> None:
    """A GIF with several frames is taken as the picture it begins with."""
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    assert upright_rgb(through(red, "GIF", save_all=True, append_images=[blue])).getpixel((1, 1)) == (255, 0, 0)


def test_floating_point_is_refused_by_name() -> None:
    """A picture whose white is anybody's guess is refused, and the message says what to do."""
    with pytest.raises(BadImage, match=r"mode F.*convert"):
        upright_rgb(Image.new("F", (8, 8)))


def test_a_truncated_file_is_refused_by_name(photo: Path) -> None:
    """Half a JPEG is an error that names the format."""
    data = photo.read_bytes()
    with pytest.raises(BadImage, match="JPEG"):
        upright_rgb(Image.open(io.BytesIO(data[: len(data) // 2])))


@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    target=st.tuples(st.integers(2, 12), st.integers(2, 12)),
)
def test_fit_gives_exactly_the_size_asked_for(size: tuple[int, int], target: tuple[int, int]) -> None:
    """The cut of a picture of any shape is height x width, and no border of another colour shows."""
    height, width = target[0] * 16, target[1] * 16
    cut = fit(Image.new("RGB", size, "teal"), height=height, width=width)
    assert cut.size == (width, height)
    assert cut.getextrema() == ((0, 0), (128, 128), (128, 128))


def test_the_middle_is_kept() -> None:
    """A wide picture loses as much on the left as on the right."""
    wide = Image.new("RGB", (300, 100), "black")
    ImageDraw.Draw(wide).rectangle((100, 0, 199, 99), fill="white")
    assert fit(wide, height=64, width=64).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) > (240, 240, 240)  # type: ignore[operator]


def test_a_picture_of_the_right_size_is_not_resampled(photo: Path) -> None:
    """If nothing is to be scaled, every pixel stays."""
    image = Image.open(photo).crop((0, 0, 96, 64))
    assert fit(image, height=64, width=96).tobytes() == image.tobytes()


def test_pixels_span_minus_one_to_one() -> None:
    """Black is -1, white is 1, and the axes are batch, channel, time, height, width."""
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((3, 1), (255, 0, 255))
    tensor = pixels(image)
    assert tensor.shape == (1, 3, 1, 2, 4)
    assert tensor[0, :, 0, 1, 3].tolist() == [1.0, -1.0, 1.0]
    assert float(tensor.min()) == -1.0
