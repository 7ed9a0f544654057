"""How large the models' parts are. Loads no torch.

A test of the plans counts the same on torch's meta device, in every precision, and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from framepack_engine.planning.choices import PRECISIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The size of a model's parts: the transformer's in bytes, in its `precision`; the others' in parameters.

    compiled: whether the blocks are. blocks: parameters of each block, in order, without its adaLN; block_bytes: the
    same in bytes. rest_bytes: what else the step loop needs. hoisted_bytes: what it does not need;
    largest_hoisted_bytes: the largest module of that. largest_matrix: parameters of the largest matrix in the blocks.
    widest_answer: numbers a token in the widest product of the blocks. dim: width of a token, split among heads.
    vae_channels: of the widest activation at full size. itemsize: bytes of a number that the transformer computes with;
    encoder_itemsize, vae_itemsize: of the encoders and the VAE.
    """

    precision: str = "bf16"
    compiled: bool = False
    blocks: tuple[int, ...]
    block_bytes: tuple[int, ...]
    rest_bytes: int
    hoisted_bytes: int
    largest_hoisted_bytes: int
    largest_matrix: int
    widest_answer: int = 0  #: unknown of models that were shipped before it was counted
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

    @property
    def text_bytes(self) -> int:
        """Bytes of the large text encoder."""
        return self.text * self.encoder_itemsize

    @property
    def text_block_bytes(self) -> int:
        """Bytes of one layer of the large text encoder."""
        return self.text_block * self.encoder_itemsize

    @property
    def text_rest_bytes(self) -> int:
        """Bytes of the large text encoder without its layers."""
        return (self.text - self.text_blocks * self.text_block) * self.encoder_itemsize

    @property
    def text_2_bytes(self) -> int:
        """Bytes of the small text encoder."""
        return self.text_2 * self.encoder_itemsize

    @property
    def image_bytes(self) -> int:
        """Bytes of the image encoder."""
        return self.image * self.encoder_itemsize

    @property
    def vae_bytes(self) -> int:
        """Bytes of the VAE."""
        return self.vae * self.vae_itemsize

    @property
    def transformer_bytes(self) -> int:
        """Bytes of all the transformer's weights."""
        return sum(self.block_bytes) + self.rest_bytes + self.hoisted_bytes


_FRAMEPACK = ModelSize(
    blocks=(226_548_224,) * 20 + (113_271_040,) * 40,
    block_bytes=(453_096_448,) * 20 + (226_542_080,) * 40,
    rest_bytes=29_909_248,
    hoisted_bytes=7_595_501_568,
    largest_hoisted_bytes=618_350_592,
    largest_matrix=3072 * 15_360,
    widest_answer=12_288,
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
    block_bytes=(67_584,) * 2 + (33_664,) * 2,
    rest_bytes=615_168,
    hoisted_bytes=352_000,
    largest_hoisted_bytes=109_056,
    largest_matrix=32 * 96,
    widest_answer=64,
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
#: double block, single block, all that is hoisted, in bytes. The 8-bit formats are of one size; int4's adaLN is int8
_PACKED = {
    "framepack": {"8": (226_825_216, 113_394_176, 4_183_689_216), "4": (116_924_824, 58_456_234, 4_183_689_216)},
    "tiny": {"8": (20_224, 9_856, 257_792), "4": (11_360, 5_488, 257_792)},
}


def _sizes() -> dict[tuple[str, str], ModelSize]:
    sizes = dict[tuple[str, str], ModelSize]()
    for name, size, doubles in (("framepack", _FRAMEPACK, 20), ("tiny", _TINY, 2)):
        for precision in PRECISIONS:
            sizes[name, precision] = size
            if precision != "bf16":
                double, single, hoisted = _PACKED[name]["4" if precision == "int4" else "8"]
                blocks = (double,) * doubles + (single,) * (len(size.block_bytes) - doubles)
                sizes[name, precision] = replace(size, precision=precision, block_bytes=blocks, hoisted_bytes=hoisted)
    return sizes


MODEL_SIZES: Mapping[tuple[str, str], ModelSize] = MappingProxyType(_sizes())
"""By model ("framepack", "tiny") and precision."""
