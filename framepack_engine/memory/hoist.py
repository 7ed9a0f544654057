"""Hoisting: what depends only on the time step and the prompt is computed before the step loop.

The adaLN linears of all blocks, the embedders of time, guidance and pooled text, the token refiner and the image
projection hold 29.5 % of the weights. Their answers for all steps of a prompt form a table, so their weights need not
be on the device during the steps. Each answer comes from the modules and shapes of the plain forward: the bits are the
same.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from framepack_engine.memory.budget import uncounted

_TABLES = 6  #: kept: a prompt, the one that fades in, the negative one, and the same of another video
_HOST = torch.device("cpu")


class _Answer(nn.Module):
    """Replaces a module whose answer is known."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        """Return the answer."""
        return self.answer


@dataclass(frozen=True, slots=True)
class Table:
    """The answers of the hoisted modules to one prompt, on the host.

    rows: the adaLN outputs of each step, (sum of widths,). text: the refiner's of each step, (1, n, D), without
    padding. image: (1, m, D).
    """

    rows: tuple[Tensor, ...]
    text: tuple[Tensor, ...]
    image: Tensor

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in (*self.rows, *self.text, self.image))

    def pinned(self) -> Table:
        """Return the same in pinned memory: the host does not wait for its copies to a GPU."""
        rows, text = ([tensor.pin_memory() for tensor in tensors] for tensors in (self.rows, self.text))
        return Table(tuple(rows), tuple(text), self.image.pin_memory())


class Hoist:
    """The hoisted modules of one HunyuanVideoFramepackTransformer3DModel, and the tables made so far.

    Outside of `at_work` the model is whole. Not for two threads at once.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._norms: list[Any] = [
            norm for block in model.transformer_blocks for norm in (block.norm1, block.norm1_context)
        ]
        self._norms += [block.norm for block in model.single_transformer_blocks]
        self._norms.append(model.norm_out)
        self._linears: list[nn.Linear] = [norm.linear for norm in self._norms]
        names = ("time_text_embed", "context_embedder", "image_projection")
        self._stems: dict[str, nn.Module] = {name: getattr(model, name) for name in names}
        self._edges = (0, *accumulate(linear.out_features for linear in self._linears))
        self._slots = [_Answer() for _ in self._linears]
        self._stem_slots = [_Answer() for _ in self._stems]
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._shown: tuple[Table, int] | None = None
        #: keeps a module on the device for a moment; a placement sets it if the weights live on the host
        self.visits: Callable[[nn.Module], AbstractContextManager[object]] = nullcontext
        self.made = 0  #: tables computed so far

    def modules(self) -> list[nn.Module]:
        """Return the modules that the step loop does not need."""
        return [*self._linears, *self._stems.values()]

    def table(self, inputs: dict[str, Tensor], *, timesteps: Sequence[Tensor], salt: object = None) -> Table:
        """Return the table of one prompt, kept from an earlier section or computed now.

        inputs: of the model's forward, on the device: encoder_hidden_states, encoder_attention_mask,
            pooled_projections, image_embeds, guidance. timesteps: (1,) each, as the forward gets them.
        salt: what else the answers depend on: the LoRAs in use.
        """
        names = ("encoder_hidden_states", "encoder_attention_mask", "pooled_projections", "image_embeds", "guidance")
        key = _digest([inputs[name] for name in names] + list(timesteps), salt)
        table = self._tables.pop(key, None)
        if table is None:
            table, self.made = self._computed(inputs, timesteps), self.made + 1
        self._tables[key] = table
        while len(self._tables) > _TABLES:
            self._tables.popitem(last=False)
        return table

    def _computed(self, inputs: dict[str, Tensor], timesteps: Sequence[Tensor]) -> Table:
        """Ask each module once a step, with the shapes of a forward: a batch of steps would give other bits."""
        embed, refine, project = self._stems.values()
        mask = inputs["encoder_attention_mask"]
        length, dtype = int(mask.sum()), inputs["encoder_hidden_states"].dtype
        with self.visits(embed):
            times = [embed(t, inputs["pooled_projections"], inputs["guidance"])[0] for t in timesteps]
        with self.visits(refine):
            text = [_home(refine(inputs["encoder_hidden_states"], t, mask)[:, :length]) for t in timesteps]
        with self.visits(project):
            image = _home(project(inputs["image_embeds"]))
        answers: list[list[Tensor]] = [[] for _ in timesteps]
        for norm, linear in zip(self._norms, self._linears, strict=True):
            with self.visits(linear):
                for time, row in zip(times, answers, strict=True):
                    row.append(_home(linear(norm.silu(time).to(dtype))[0]))
        with uncounted():
            table = Table(tuple(torch.cat(row) for row in answers), tuple(text), image)
            return table.pinned() if mask.device.type == "cuda" else table

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the model use the answers that `show` sets, instead of the hoisted modules."""
        for norm, slot in zip(self._norms, self._slots, strict=True):
            norm.linear = slot
        for name, slot in zip(self._stems, self._stem_slots, strict=True):
            setattr(self._model, name, slot)
        try:
            yield
        finally:
            for norm, linear in zip(self._norms, self._linears, strict=True):
                norm.linear = linear
            for name, module in self._stems.items():
                setattr(self._model, name, module)
            self._shown = None
            for slot in (*self._slots, *self._stem_slots):
                slot.answer = None

    def show(self, table: Table, step: int, device: torch.device) -> None:
        """Set the answers of `step` for the next forward; from pinned memory, the host does not wait for the copies."""
        if self._shown is not None and self._shown[0] is table and self._shown[1] == step:
            return
        row = table.rows[step].to(device, non_blocking=True)
        for slot, begin, end in zip(self._slots, self._edges, self._edges[1:], strict=False):
            slot.answer = row[begin:end][None].clone()  # a tensor of its own: compiled blocks depend on the offset
        time, text, image = self._stem_slots
        time.answer = row.new_zeros((1, 1)), None  # only the slots of the adaLN linears see it
        text.answer = table.text[step].to(device, non_blocking=True)
        image.answer = table.image.to(device, non_blocking=True)
        self._shown = table, step

    def forget(self) -> None:
        """Drop all tables."""
        self._tables.clear()


def _home(answer: Tensor) -> Tensor:
    """Copy an answer to the host."""
    with uncounted():
        return answer.to(_HOST, copy=True).contiguous()


def _digest(tensors: Sequence[Tensor], salt: object) -> str:
    digest = hashlib.sha256(repr(salt).encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
