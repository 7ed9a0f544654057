"""3-D convolutions on the CPU, without PyTorch's slow path.

PyTorch 2.13 gives a Conv3d to oneDNN only where channels × frames × height passes 20,480, "since native is faster" for
less; measured, it is not: 4 -> 4 channels over 19x130x130 takes 140 ms natively and 11 ms with oneDNN (one core of an
AVX-512 Xeon), and a video decoder's widest layers are just there. Decoding one window of golden's VAE takes 1.5 s
instead of 6 s. Same maths in another order of summing: differences of about 1e-5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OneDnnConv3d(nn.Conv3d):
    """A Conv3d that goes to oneDNN whatever its size, where it runs in float32 on the CPU; else as its parent."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 (torch's name)
        out: Tensor
        if input.device.type != "cpu" or input.dtype != torch.float32 or torch.is_grad_enabled():
            out = super()._conv_forward(input, weight, bias)
        else:
            padding = [int(side) for side in self.padding]  # `use_onednn` leaves layers with "same" alone
            out = torch.mkldnn_convolution(input, weight, bias, padding, self.stride, self.dilation, self.groups)
        return out


def use_onednn(model: nn.Module) -> None:
    """Send every plain Conv3d of `model` to oneDNN, in place; weights and state dict stay as they are.

    Does nothing where PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Conv3d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.__class__ = OneDnnConv3d
