"""Every image gets a picture size that the model was trained on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.planning.buckets import buckets, nearest_bucket
from framepack_engine.planning.spec import RenderSpec


@given(st.integers(32, 4096), st.integers(32, 4096))
def test_the_nearest_bucket_is_a_bucket(height: int, width: int) -> None:
    """Any image gets one of the class's sizes, every side of it a multiple of 32."""
    for resolution in (128, 640, 1000):
        found = nearest_bucket(height, width, resolution)
        assert found in buckets(resolution)
        assert all(side >= 64 and side % 32 == 0 for side in found)


@pytest.mark.parametrize("bucket", buckets(640))
@pytest.mark.parametrize("window", [1, 9, 33])
def test_every_bucket_can_be_rendered(bucket: tuple[int, int], window: int) -> None:
    """An image of a bucket's shape gets that bucket, whose turned twin is one too, and it is a possible video."""
    height, width = bucket
    assert nearest_bucket(height, width) == nearest_bucket(3 * height, 3 * width) == bucket
    assert (width, height) in buckets(640)
    spec = RenderSpec(kind="i2v", sections=1, height=height, width=width, seed=1, prompt="", latent_window_size=window)
    assert spec.tokens == window * height * width // 256


@pytest.mark.parametrize(
    ("image", "bucket"), [((500, 500), (640, 608)), ((1080, 1920), (480, 832)), ((1920, 1080), (832, 480))]
)
def test_known_shapes_find_their_bucket(image: tuple[int, int], bucket: tuple[int, int]) -> None:
    """A square image takes the higher of two equally near buckets; wide and high ones theirs."""
    assert nearest_bucket(*image) == bucket
    assert buckets(640)[0] == (416, 960)
