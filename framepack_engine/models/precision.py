"""Precision: the format in which the transformer's matrices are stored and multiplied. Part of the numeric class.

torchao computes the numbers of each format (scales, rounding, NF4's levels). Our own layer keeps them as plain tensors,
so hoisting, streaming and LoRAs treat them like any weight, and multiplies with torch's operators. docs/decisions/0051
says why torchao's tensor classes and diffusers' layerwise casting are not used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, pad

from framepack_engine.errors import PrecisionUnavailable
from framepack_engine.models.weights import blocks_of
from framepack_engine.planning.choices import PRECISIONS

if TYPE_CHECKING:
    from torchao.quantization import Float8Tensor, Int8Tensor

__all__ = ["Packed", "apply_precision", "check_precision", "precision_of"]

_NF4_BLOCK = 64  #: numbers that share a scale
_NF4_SCALES = 256  #: scales that share a factor; fewer in a small matrix
_ROWS = 2048  #: rows of a product at a time: its intermediate tensors take several times the room of the rows
_INT8_ROWS = 17  #: the fewest that CUDA's int8 product takes. Source: ATen/native/cuda/Blas.cpp, _int_mm_out_cuda
_FLOAT8_PRODUCT = (8, 9)  #: the lowest compute capability that multiplies float8: Ada, Hopper and later
_MULTIPLYING = frozenset({"fp8-dynamic", "fp8-fast", "int8"})  #: precisions with products in few bits
_TRIAL = 64  #: width of the matrix that is tried: CUDA's products take multiples of 16
_MARK = "_framepack_precision"


class Packed(nn.Linear, ABC):
    """A Linear that stores its matrix in few bits and unpacks it for each product.

    It cannot be trained or widened again: the original matrix is gone.
    """

    def __init__(self, layer: nn.Linear) -> None:
        """Take everything of `layer` but its matrix."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_parameter("weight", None)
        self.bias = layer.bias

    @abstractmethod
    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Return the matrix (out, in) in `dtype`."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply, in the dtype of `x`."""
        return linear(x, self.unpacked(x.dtype), self.bias)


class _Rows(Packed):
    """8 bits a number, a scale a row."""

    qdata: Tensor  #: (out, in) int8 or float8_e4m3fn
    scale: Tensor  #: (out, 1) float32

    @classmethod
    def of(cls, layer: nn.Linear, quantised: Int8Tensor | Float8Tensor) -> Self:
        self = cls(layer)
        self.register_buffer("qdata", quantised.qdata.contiguous())
        self.register_buffer("scale", quantised.scale)
        return self

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        return self.qdata.to(dtype).mul_(self.scale.to(dtype))


class Int8(_Rows):
    """Rows of int8, unpacked for each product."""

    @classmethod
    def packed(cls, layer: nn.Linear, matrix: Tensor) -> Self:
        from torchao.quantization import Int8Tensor, PerRow

        return cls.of(layer, Int8Tensor.from_hp(matrix, PerRow()))


class _Product(_Rows):
    """8 bits a number, multiplied in 8 bits: each row of the input is rounded by its own largest number."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.in_features)
        if torch.compiler.is_compiling():  # intermediate tensors become part of one kernel
            answer = self._product(flat)
        else:
            answer, pieces = x.new_empty(len(flat), self.out_features), -(-len(flat) // _ROWS)
            # pieces of one length: a remainder could be too short for CUDA's int8 product
            for rows, part in zip(flat.tensor_split(pieces), answer.tensor_split(pieces), strict=True):
                part.copy_(self._product(rows))
        return answer.view(*x.shape[:-1], self.out_features)

    @abstractmethod
    def _product(self, rows: Tensor) -> Tensor:
        """Multiply rows (n, in). Returns: (n, out) in the dtype of `rows`."""


class Int8Product(_Product, Int8):
    """Rows of int8, multiplied as int8."""

    def _product(self, rows: Tensor) -> Tensor:
        from torchao.quantization import Int8Tensor, PerRow

        x = Int8Tensor.from_hp(rows, PerRow())
        # A short prompt has fewer rows than CUDA's product takes, so rows of zeros follow, on every device. In a graph
        # they always follow: a test of the number would make one graph for short prompts and one for long ones.
        missing = _INT8_ROWS - 1 if torch.compiler.is_compiling() else max(0, _INT8_ROWS - rows.shape[0])
        numbers = pad(x.qdata, (0, 0, 0, missing)) if missing else x.qdata
        # Not torchao's own product: outside of compile it formats its input as a string at each call, which waits
        product = torch._int_mm(numbers, self.qdata.t())[: rows.shape[0]]  # noqa: SLF001 - torch's only door to it
        answer: Tensor = (product * x.scale).mul_(self.scale.t()).to(rows.dtype)
        return answer if self.bias is None else answer.add_(self.bias)


class Float8(_Rows):
    """Rows of float8_e4m3fn, unpacked for each product."""

    @classmethod
    def packed(cls, layer: nn.Linear, matrix: Tensor) -> Self:
        return cls.of(layer, _float8(matrix))


class Float8Product(_Product, Float8):
    """Rows of float8_e4m3fn, multiplied as such."""

    fast = False  #: whether a GPU sums in its tensor cores' accumulators alone, which keep fewer bits than float32

    def _product(self, rows: Tensor) -> Tensor:
        x = _float8(rows)
        scales = {"scale_a": x.scale, "scale_b": self.scale.t()}
        answer: Tensor = torch._scaled_mm(  # noqa: SLF001 - torch's only door to it
            x.qdata, self.qdata.t(), **scales, out_dtype=rows.dtype, use_fast_accum=self.fast
        )
        return answer if self.bias is None else answer.add_(self.bias)


class Float8FastProduct(Float8Product):
    """The same with fast accumulation. A CPU ignores it."""

    fast = True


def _float8(matrix: Tensor) -> Float8Tensor:
    from torchao.quantization import Float8Tensor, PerRow
    from torchao.quantization.quantize_.common import KernelPreference

    # always torch's kernels: other packages' kernels round otherwise
    return Float8Tensor.from_hp(matrix, granularity=PerRow(), kernel_preference=KernelPreference.TORCH)


class NormalFloat4(Packed):
    """NF4: 4 bits a number, one of 16 levels; 64 numbers share an 8-bit scale. Source: arXiv:2305.14314 §3."""

    codes: Tensor  #: (out x in / 2,) uint8, two numbers each
    scales: Tensor  #: (out x in / 64,) int8
    factors: Tensor  #: one for each group of scales
    mean: Tensor  #: of all scales, ()
    levels: Tensor  #: (16,)

    @classmethod
    def packed(cls, layer: nn.Linear, matrix: Tensor) -> Self:
        from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import to_nf4

        blocks, odd = divmod(matrix.numel(), _NF4_BLOCK)
        if odd:
            raise PrecisionUnavailable(
                f"precision=int4: a matrix of {tuple(matrix.shape)} has no multiple of {_NF4_BLOCK} numbers"
            )
        group = _NF4_SCALES
        while blocks % group:
            group //= 2
        made = to_nf4(matrix.contiguous(), _NF4_BLOCK, group)
        self = cls(layer)
        for name, tensor in (
            ("codes", made.quantized_data),
            ("scales", made.quantized_scalers),
            ("factors", made.quantization_factor),
            ("mean", made.scaler_mean),
            ("levels", made.nf4),
        ):
            # a single factor is a view of a longer tensor; its stride would make another compiled graph
            self.register_buffer(name, tensor.clone(memory_format=torch.contiguous_format))
        return self

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Return torchao's numbers, bit for bit, in a third of its memory: a look-up gives both numbers of a byte."""
        scales = (self.scales.view(len(self.factors), -1) / self.factors[:, None]).view(-1, 1).to(dtype) + self.mean
        pairs = torch.stack((self.levels.repeat_interleave(16), self.levels.repeat(16)), dim=1)
        numbers = embedding(self.codes.int(), pairs).view(-1, _NF4_BLOCK)
        return numbers.mul_(scales).view(self.out_features, self.in_features)


_Maker = Callable[[nn.Linear, Tensor], Packed]
#: how the matrices of the blocks are packed, and their adaLN linears, which see one row a step, before the loop
_FORMATS: Mapping[str, tuple[_Maker, _Maker]] = MappingProxyType(
    {
        "fp8": (Float8.packed, Float8.packed),
        "fp8-dynamic": (Float8Product.packed, Float8.packed),
        "fp8-fast": (Float8FastProduct.packed, Float8.packed),
        "int8": (Int8Product.packed, Int8.packed),
        "int4": (NormalFloat4.packed, Int8.packed),
    }
)


def check_precision(name: str, *, device: torch.device) -> None:
    """Check that `device` can compute in precision `name`. Raises: PrecisionUnavailable, which says what is missing.

    A small product is tried: the products in few bits depend on the device and on torch's version.
    """
    if name not in PRECISIONS:
        raise PrecisionUnavailable(f"precision={name!r}: known are {', '.join(PRECISIONS)}", precision=name)
    if name == "bf16":
        return
    try:
        import torchao.quantization  # noqa: F401
    except ImportError as err:
        raise PrecisionUnavailable(
            f"precision={name} needs the package torchao, which cannot be imported here ({err}). "
            "Install it: pip install 'framepack-farm[precision]'",
            precision=name,
        ) from err
    if name in _MULTIPLYING - {"int8"} and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < _FLOAT8_PRODUCT:
            raise PrecisionUnavailable(
                f"precision={name} multiplies in float8, which needs a GPU of compute capability 8.9 or more; "
                f"this one has {capability[0]}.{capability[1]}. fp8 and int8 work there",
                precision=name,
            )
    if name not in _MULTIPLYING:
        return
    try:
        _try_product(name, device)
    except RuntimeError as err:  # NotImplementedError is one, too
        raise PrecisionUnavailable(
            f"precision={name} cannot multiply on {device} with torch {torch.__version__}: "
            f"{str(err).partition(chr(10))[0]}. fp8 and int4 need no such product",
            precision=name,
        ) from err


@torch.no_grad()
def _try_product(name: str, device: torch.device) -> None:
    """Pack a small matrix and multiply, as a block does."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    layer = nn.Linear(_TRIAL, _TRIAL, device=device, dtype=dtype)
    packed = _FORMATS[name][0](layer, layer.weight)
    packed(torch.ones(_TRIAL, _TRIAL, device=device, dtype=dtype))


def apply_precision(transformer: Any, name: str, *, device: torch.device | str | None = None) -> None:
    """Store the matrices of a HunyuanVideoFramepackTransformer3DModel's blocks in precision `name` from now on.

    device: computes the new numbers, one matrix at a time; None: the device of each matrix. The weights stay where they
    are. "bf16" changes nothing: the model keeps the precision that it was loaded in. So do the weights outside of the
    blocks (3 %, most of them used once a prompt), except the last adaLN.
    Call it before a Renderer is made: LoRAs and hoisting hold on to the Linears of that time.
    Raises: PrecisionUnavailable, also if the model is in another precision already.
    """
    here = precision_of(transformer)
    if here not in {name, "bf16"}:
        raise PrecisionUnavailable(
            f"precision={name}: the model is in {here} already and cannot be widened; load it again",
            precision=name,
        )
    blocks = blocks_of(transformer)
    check_precision(name, device=torch.device(device or next(blocks[0].parameters()).device))
    if name in {"bf16", here}:
        return
    block_maker, adaln_maker = _FORMATS[name]
    for parent in [transformer.norm_out, *(module for block in blocks for module in block.modules())]:
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                maker = adaln_maker if _is_adaln(parent) else block_maker
                setattr(parent, child_name, _replaced(child, maker, device))
    setattr(transformer, _MARK, name)


def precision_of(transformer: Any) -> str:
    """Return the precision that was applied to a transformer."""
    name: str = getattr(transformer, _MARK, "bf16")
    return name


def _is_adaln(parent: nn.Module) -> bool:
    return "norm" in type(parent).__name__.lower()


def _replaced(layer: nn.Linear, maker: _Maker, device: torch.device | str | None) -> Packed:
    home = layer.weight.device
    with torch.inference_mode(mode=False), torch.no_grad():
        packed = maker(layer, layer.weight.detach().to(device or home)).requires_grad_(requires_grad=False)
    return packed.to(home).train(mode=False)
