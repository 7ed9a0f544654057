"""How large the models' parts are, in parameters. Loads no torch.

tests/unit/test_memory.py counts the same on torch's meta device and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Parameters of a model's parts.

    blocks: of each block, in order, without its adaLN. rest: what else the step loop needs, but for the output
    projection, which is float32. hoisted: what the step loop does not need, and the largest module of that. dim: width
    of a token, split among heads. vae_channels: of the widest activation at full size. itemsize: bytes a number of the
    transformer, encoder_itemsize of the encoders, vae_itemsize of the VAE.
    """

    blocks: tuple[int, ...]
    rest: int
    proj_out: int
    hoisted: int
    largest_hoisted: int
    text: int
    text_block: int
    text_blocks: int
    text_2: int
    image: int
    vae: int
    dim: int
    heads: int
    image_tokens: int
    vae_channels: int
    itemsize: int
    encoder_itemsize: int
    vae_itemsize: int

    def block_bytes(self, number: int) -> int:
        """Of one block's weights in the step loop."""
        return self.blocks[number] * self.itemsize

    @property
    def rest_bytes(self) -> int:
        """Of the step loop's weights outside of the blocks."""
        return self.rest * self.itemsize + self.proj_out * 4

    @property
    def hoisted_bytes(self) -> int:
        """Of the weights that the step loop does not need."""
        return self.hoisted * self.itemsize

    @property
    def largest_hoisted_bytes(self) -> int:
        """Of the largest hoisted module."""
        return self.largest_hoisted * self.itemsize

    @property
    def text_bytes(self) -> int:
        """Of the large text encoder."""
        return self.text * self.encoder_itemsize

    @property
    def text_block_bytes(self) -> int:
        """Of one of its layers."""
        return self.text_block * self.encoder_itemsize

    @property
    def text_rest_bytes(self) -> int:
        """Of all of it but its layers."""
        return (self.text - self.text_blocks * self.text_block) * self.encoder_itemsize

    @property
    def text_2_bytes(self) -> int:
        """Of the small text encoder."""
        return self.text_2 * self.encoder_itemsize

    @property
    def image_bytes(self) -> int:
        """Of the image encoder."""
        return self.image * self.encoder_itemsize

    @property
    def vae_bytes(self) -> int:
        """Of the VAE."""
        return self.vae * self.vae_itemsize


_FRAMEPACK = ModelSize(
    blocks=(226_548_224,) * 20 + (113_271_040,) * 40,
    rest=14_561_280,
    proj_out=196_672,
    hoisted=3_797_750_784,
    largest_hoisted=309_175_296,
    text=7_505_186_816,
    text_block=218_112_000,
    text_blocks=32,
    text_2=123_060_480,
    image=428_225_600,
    vae=246_478_803,
    dim=3072,
    heads=24,
    image_tokens=729,
    vae_channels=256,
    itemsize=2,
    encoder_itemsize=2,
    vae_itemsize=2,
)
_TINY = ModelSize(
    blocks=(16_896,) * 2 + (8_416,) * 2,
    rest=151_680,
    proj_out=2_112,
    hoisted=88_000,
    largest_hoisted=27_264,
    text=43_712,
    text_block=9_280,
    text_blocks=3,
    text_2=36_064,
    image=50_784,
    vae=59_551,
    dim=32,
    heads=2,
    image_tokens=16,
    vae_channels=4,
    itemsize=4,
    encoder_itemsize=4,
    vae_itemsize=4,
)
MODEL_SIZES: Mapping[str, ModelSize] = MappingProxyType({"framepack": _FRAMEPACK, "tiny": _TINY})
