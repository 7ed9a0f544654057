"""An optimizer for small networks on few steps: matrices move by the orthogonal part of their gradients' running mean.

PyTorch's own Muon takes matrices alone; most of the autoencoder's weights are kernels of convolutions. Decision 0062
compares it with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_BETAS, _EPS = (0.9, 0.95), 1e-8
_NARROWEST = 4  #: fewer rows or columns are no matrix worth the name: output kernels of 3 colours, biases, gains


class Muon(torch.optim.Optimizer):
    """Muon for weights of two or more axes within blocks (kernels as rows of all their inputs), AdamW for the rest.

    rate: of the rest; matrix_rate: of matrices, as a share of a step that moves each direction by 1. momentum: of
    matrices. A weight is within a block if its name says so: what embeds inputs has inputs far from a mean of 0, on
    which steps of full length in every direction are mostly noise.

    Source: Jordan et al., https://kellerjordan.github.io/posts/muon/ (Newton-Schulz coefficients, Nesterov momentum).
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        rate: float,
        matrix_rate: float,
        momentum: float = 0.95,
    ) -> None:
        taken = [(weight, "block" in name and _is_matrix(weight)) for name, weight in parameters]
        groups = [
            {"params": [weight for weight, turned in taken if turned], "lr": matrix_rate, "matrices": True},
            {"params": [weight for weight, turned in taken if not turned], "lr": rate, "matrices": False},
        ]
        self._momentum = momentum
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every weight that has a gradient."""
        if closure is not None:
            raise TypeError("Muon takes no closure")
        for group in self.param_groups:
            moving = [weight for weight in group["params"] if weight.grad is not None]
            if group["matrices"]:
                self._turn(moving, group["lr"])
                continue
            for weight in moving:
                self._adam(weight, group["lr"])

    def _turn(self, weights: list[Tensor], rate: float) -> None:
        """Turn matrices of one shape together: a small model has dozens, too small for a call each."""
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for weight in weights:
            flat = self._wanted(weight).flatten(1)
            alike.setdefault((flat.shape[0], flat.shape[1]), []).append((weight, flat))
        for (rows, columns), pairs in alike.items():
            stretch = max(1.0, rows / columns) ** 0.5
            turned = orthogonal(torch.stack([flat for _, flat in pairs]))
            for (weight, _), flat in zip(pairs, turned, strict=True):
                weight.add_(flat.reshape(weight.shape), alpha=-rate * stretch)

    def _wanted(self, weight: Tensor) -> Tensor:
        """Return the gradient's running mean, a step ahead."""
        slope: Any = weight.grad
        mean: Tensor = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(slope, 1 - self._momentum)
        ahead: Tensor = slope.lerp(mean, self._momentum)
        return ahead

    def _adam(self, weight: Tensor, rate: float) -> None:
        state, slope = self.state[weight], weight.grad
        if slope is None:
            return
        if not state:
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
        state["step"] += 1
        state["mean"].lerp_(slope, 1 - _BETAS[0])
        state["square"].lerp_(slope.square(), 1 - _BETAS[1])
        done = float(state["step"])
        mean, square = state["mean"] / (1 - _BETAS[0] ** done), state["square"] / (1 - _BETAS[1] ** done)
        weight.add_(mean / (square.sqrt() + _EPS), alpha=-rate)


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim > 1 and min(weight.shape[0], weight[0].numel()) >= _NARROWEST


def quick_in_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices faster: a GPU, or a CPU with AMX or AVX512-BF16."""
    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def orthogonal(matrices: Tensor) -> Tensor:
    """Return, for each of (n, rows, columns), about the nearest matrix with singular values of 1: from 0.7 to 1.2.

    It computes in bfloat16 if that is faster on the device, as its source does.
    """
    x = matrices.float() / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    if quick_in_bfloat16(matrices.device):
        x = x.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT.contiguous()
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    turned: Tensor = x.mT if tall else x
    return turned.to(matrices.dtype)
