"""The weights of a model's parts: loading them, listing them, and computing with the VAE's on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: FramePack's transformer, as its config.json differs from diffusers' defaults
OFFICIAL = {"has_image_proj": True, "image_proj_dim": 1152, "has_clean_x_embedder": True}
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.")  #: prefixes that tools put before the keys
_NAMED = 6  #: wrong keys in an error


def load_part(part: str, folder: Path, *, device: str, dtype: torch.dtype | None, home: str | None = None) -> Any:
    """Load one part, in evaluation mode; `folder` may be a single file with a transformer.

    dtype: None: the part's usual one on `device`, see `load_models`. home: where its weights lie; None: on `device`.
    Raises: errors of diffusers, transformers and safetensors; ValueError if the keys do not fit.
    """
    import diffusers
    import transformers

    if part == "tokenizer":
        # Not LlamaTokenizerFast: transformers 5 replaces the file's pre-tokenizer by Llama 2's, and Llama 3's
        # vocabulary then silently loses every space (transformers issue 45488). This class takes the file as it is.
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if part == "tokenizer_2":
        return transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if part == "feature_extractor":
        # SiglipImageProcessor warns and falls back to this class if torchvision is missing.
        return transformers.SiglipImageProcessorPil.from_pretrained(folder, local_files_only=True)
    if dtype is None:
        half = torch.bfloat16 if part == "transformer" else torch.float16
        dtype = torch.float32 if device == "cpu" else half
    if folder.is_file():
        model = _transformer_from_file(folder, dtype=dtype)
    elif part in {"transformer", "vae"}:
        kind = "AutoencoderKLHunyuanVideo" if part == "vae" else "HunyuanVideoFramepackTransformer3DModel"
        model = getattr(diffusers, kind).from_pretrained(
            folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True
        )
    else:
        kind = {"text_encoder": "LlamaModel", "text_encoder_2": "CLIPTextModel"}.get(part, "SiglipVisionModel")
        model = getattr(transformers, kind).from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    model.requires_grad_(requires_grad=False).eval().to(home or device)
    if part == "vae":
        use_onednn(model)
    return model


def _transformer_from_file(path: Path, *, dtype: torch.dtype) -> Any:
    """Load a transformer from one .safetensors file, with the keys that FramePack and diffusers share.

    Its shape is that of the config.json beside it, or else the official one. Weights in fewer bits are widened. Formats
    with scales are refused: their keys are not the model's. diffusers' from_single_file (0.42) lacks this class.
    """
    from accelerate import init_empty_weights
    from diffusers import HunyuanVideoFramepackTransformer3DModel
    from safetensors.torch import load_file

    beside = path.with_name("config.json")
    config = json.loads(beside.read_text()) if beside.is_file() else OFFICIAL
    with init_empty_weights():
        model = HunyuanVideoFramepackTransformer3DModel.from_config(config)
    wanted, state = model.state_dict(), dict[str, torch.Tensor]()
    for key, tensor in load_file(path).items():
        name = next((key.removeprefix(prefix) for prefix in _PREFIXES if key.startswith(prefix)), key)
        state[key if key in wanted else name] = tensor
    wrong = [f"{key} is missing" for key in wanted.keys() - state.keys()]
    wrong += [f"{key} is unknown" for key in state.keys() - wanted.keys()]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, wanted {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        shape = "config.json beside it" if beside.is_file() else "official shape; a config.json beside it may say more"
        raise ValueError(f"its keys are not FramePack's (by the {shape}): {', '.join(sorted(wrong)[:_NAMED])}{more}")
    model.load_state_dict({key: tensor.to(dtype) for key, tensor in state.items()}, assign=True)
    return model


def weights_of(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters and buffers of `modules`, each once."""
    found = {id(t): t for module in modules for t in (*module.parameters(), *module.buffers())}
    return list(found.values())


def bytes_of(module: nn.Module) -> int:
    """Return the bytes of a module's weights."""
    return sum(tensor.nbytes for tensor in weights_of([module]))


def blocks_of(transformer: Any) -> list[Any]:
    """Return the blocks of a transformer in the order of its forward."""
    return [*transformer.transformer_blocks, *transformer.single_transformer_blocks]


@contextmanager
def quiet() -> Iterator[None]:
    """Turn off transformers' and diffusers' progress bars for local files."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    changed = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in changed:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in changed:
            log.enable_progress_bar()


class OneDnnConv3d(nn.Conv3d):
    """A Conv3d that uses oneDNN at every size, for float32 on the CPU without gradients."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 (torch's name)
        out: Tensor
        if input.device.type != "cpu" or input.dtype != torch.float32 or torch.is_grad_enabled():
            out = super()._conv_forward(input, weight, bias)
        else:
            padding = [int(side) for side in self.padding]  # `use_onednn` leaves layers with "same" alone
            out = torch.mkldnn_convolution(input, weight, bias, padding, self.stride, self.dilation, self.groups)
        return out


def use_onednn(model: nn.Module) -> None:
    """Let every plain Conv3d of `model` use oneDNN, in place; weights and state dict stay as they are.

    Does nothing if PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Conv3d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.__class__ = OneDnnConv3d
