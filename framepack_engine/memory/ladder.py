"""The memory plans of a model: where its weights wait, and what each stage takes on the device. Loads no torch.

The plans form a ladder, best first. All give the same bits: they differ in where weights wait and when they come, never
in what is computed. So precision is no step of the ladder: it changes bits, and the worker's settings choose it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.models.catalog import read_shipped
from framepack_engine.models.model_size import MODEL_SIZES, ModelSize
from framepack_engine.planning.buckets import buckets
from framepack_engine.planning.tiles import TILE_DEFAULT_PX, TILE_SIZES_PX, picture_bytes, tile_bytes

Keeps = Literal["all", "transformer", "nothing"]
Stage = Literal["encode", "section", "decode"]
GIB = 1 << 30
#: of the device, for CUDA's context, kernels' workspaces and fragments. An assumption: no GPU has shown it.
RESERVE_BYTES, RESERVE_SHARE = 768 << 20, 0.05
HOST_RESERVE_BYTES = 4 * GIB  #: of the machine's memory, for everything but weights
#: peak of a forward's own tensors, divided by tokens x width x itemsize: counted on torch's meta device for 640x608 and
#: six other sizes (17.2 to 18.5), with attention that keeps no matrix of scores
FORWARD_COPIES = 18.5
#: working memory of a product in few bits, divided by the model's largest matrix x itemsize: counted as above, at small
#: sizes; at 640x608 it stays below the forward's peak
_PRODUCT_COPIES = {"bf16": 0.0, "fp8": 1.0, "fp8-dynamic": 4.5, "fp8-fast": 4.5, "int8": 2.75, "int4": 2.0}
#: bytes of a number in a compiled product's answer, before it is scaled; an eager product works in short pieces
_ANSWER_ITEMSIZE = {"int8": 4}
_CACHE_COPIES = 2  #: tensors that a step cache keeps of a guidance branch: input and residual of the block stack
_ENCODE_COPIES = 4  #: as for a decode, for one picture; 3.6 were counted
_RUNGS = 12  #: steps from no block streamed to all
_TEXT_TOKENS = 256
_PADDED_TEXT = 512  #: tokens that the token refiner sees
_REFINER_COPIES = 16  #: of its input, while it computes; the scores of its masked attention come on top
_CLEAN_FRAMES = 2  #: at 1x: the start and the nearest frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The facts of a video that its memory depends on; the defaults are the usual video's.

    branches: 2 with true CFG. cached: a step cache keeps tensors. continues: the end of another video is encoded.
    """

    height: int = 608
    width: int = 640
    window: int = 9
    branches: int = 1
    cached: bool = False
    decode: str = "framewise"
    tile_px: int | None = None
    continues: bool = False

    def tokens(self, size: ModelSize, *, text_tokens: int = _TEXT_TOKENS) -> int:
        """Count the tokens of a forward: noisy and clean latents, history at 2x and 4x, picture, the longest prompt."""
        rows, columns = self.height // 16, self.width // 16
        frames = (self.window + _CLEAN_FRAMES) * rows * columns
        history = ceil(rows / 2) * ceil(columns / 2) + 4 * ceil(rows / 4) * ceil(columns / 4)
        return frames + history + size.image_tokens + text_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """One way to hold a model on a device. Bytes are predicted peaks.

    rung: its place on the ladder, 0 the largest. precision: the model's. keeps: what stays on the device from stage to
    stage; "nothing": each stage's weights come when it begins.
    hoisted: weights that the step loop does not need are away while it runs. streamed: how many blocks come one after
    another in each forward, moving `streamed_bytes`; the others stay. text: the text encoder comes whole, or block by
    block. mapped: streamed blocks are read from their file each time, because the machine has too little memory.
    decodes: whether the video's decode fits.
    """

    rung: int
    keeps: Keeps
    hoisted: bool
    streamed: int
    blocks: int
    text: Literal["whole", "streamed"]
    mapped: bool
    section_bytes: int
    encode_bytes: int
    decode_bytes: int
    streamed_bytes: int
    decodes: bool = True
    precision: str = "bf16"

    @property
    def peak_bytes(self) -> int:
        """The largest peak of all stages; the decode counts if it fits."""
        return max(self.section_bytes, self.encode_bytes, self.decode_bytes if self.decodes else 0)

    @property
    def words(self) -> str:
        """The plan in words."""
        held = "all resident" if self.keeps == "all" else "hoisted resident"
        if self.streamed:
            source = "from file" if self.mapped else "from host memory"
            held = f"hoisted, {self.streamed} of {self.blocks} blocks streamed {source}"
        if self.keeps == "nothing":
            held += ", one stage at a time"
        if self.precision != "bf16":
            held = f"{self.precision}, {held}"
        return held + f", {self.peak_bytes / GIB:.1f} GiB"

    def of(self, stage: Stage) -> int:
        """Return the predicted peak of one stage."""
        return {"encode": self.encode_bytes, "section": self.section_bytes, "decode": self.decode_bytes}[stage]


def streamed_blocks(count: int, total: int) -> tuple[int, ...]:
    """Choose which of `total` blocks are streamed: evenly spread, so that the blocks between them hide the copies."""
    return tuple((2 * number + 1) * total // (2 * count) for number in range(count))


def ladder(size: ModelSize, work: Workload) -> list[MemoryPlan]:
    """Return all plans, best first; each takes less in a section, or in a decode, than the one before."""
    plans = list[MemoryPlan]()
    for plan in _rungs(size, work):
        if not plans or plan.section_bytes < plans[-1].section_bytes or plan.decode_bytes < plans[-1].decode_bytes:
            plans.append(plan)
    return plans


def choose_plan(
    size: ModelSize,
    work: Workload,
    *,
    device_bytes: int,
    host_bytes: int,
    preserve_bytes: int = 0,
    below: int = -1,
) -> MemoryPlan:
    """Choose the best plan that fits.

    device_bytes, host_bytes: all memory of the GPU and of the machine. preserve_bytes: of the GPU, left to others.
    below: a rung that was too large; only later rungs are considered.
    Returns: if no plan holds the video's decode, the best plan for encode and sections, with `decodes` false.
    Raises: DeviceTooSmall, which says what the smallest plan takes, or that the machine cannot hold a packed model.
    """
    room = usable_bytes(device_bytes, preserve_bytes=preserve_bytes)
    plans = [plan for plan in _at_home(size, ladder(size, work), host_bytes) if plan.rung > below]
    fitting = [plan for plan in plans if max(plan.section_bytes, plan.encode_bytes) <= room]
    for plan in fitting:
        if plan.decode_bytes <= room:
            return plan
    if fitting:
        return replace(fitting[0], decodes=False)
    if size.precision != "bf16" and size.transformer_bytes > host_bytes - HOST_RESERVE_BYTES:
        raise _homeless(size, host_bytes)
    if not plans:
        raise _exhausted(work, room)
    least = min(max(plan.section_bytes, plan.encode_bytes) for plan in plans)
    raise DeviceTooSmall(
        f"{work.width}x{work.height} needs {least / GIB:.1f} GiB of device memory at least; "
        f"a plan may use {room / GIB:.1f} of its {device_bytes / GIB:.1f} GiB, and leaves {preserve_bytes / GIB:.1f} "
        "to others. A smaller size, a shorter window or a smaller preserve_gb needs less",
        needs_bytes=least,
        room_bytes=room,
    )


def _at_home(size: ModelSize, plans: list[MemoryPlan], host_bytes: int) -> list[MemoryPlan]:
    """Keep the plans that the machine's memory allows. Packed weights are in no file, so all of them need a home."""
    room = host_bytes - HOST_RESERVE_BYTES
    if size.precision == "bf16":
        return [plan if plan.streamed_bytes <= room else replace(plan, mapped=True) for plan in plans]
    return plans if size.transformer_bytes <= room else [plan for plan in plans if plan.keeps == "all"]


def _homeless(size: ModelSize, host_bytes: int) -> DeviceTooSmall:
    needs = size.transformer_bytes + HOST_RESERVE_BYTES
    return DeviceTooSmall(
        f"precision={size.precision} needs {needs / GIB:.1f} GiB of the machine's memory, which has "
        f"{host_bytes / GIB:.1f}: packed weights are in no file. Fewer bits take less, and bf16 reads its file",
        needs_bytes=needs,
        room_bytes=host_bytes,
    )


def _exhausted(work: Workload, room: int) -> DeviceTooSmall:
    return DeviceTooSmall(
        f"no plan is left for {work.width}x{work.height} px: each one ran out of the {room / GIB:.1f} GiB of device "
        "memory that it may use. A smaller size, a shorter window or a smaller preserve_gb needs less",
        needs_bytes=room,
        room_bytes=room,
    )


def usable_bytes(device_bytes: int, *, preserve_bytes: int = 0) -> int:
    """Return how much of a device a plan may take."""
    return device_bytes - preserve_bytes - max(RESERVE_BYTES, int(RESERVE_SHARE * device_bytes))


def decode_work_bytes(size: ModelSize, work: Workload) -> int:
    """Return what a decode takes beside the weights (planning/tiles.py says what was measured)."""
    if work.decode == "tiled":
        return tile_bytes(work.tile_px or TILE_DEFAULT_PX, channels=size.vae_channels, itemsize=size.vae_itemsize)
    frames, picture = 8 * work.window - 3, {"channels": size.vae_channels, "itemsize": size.vae_itemsize}
    if work.decode == "framewise":
        return picture_bytes(work.height, work.width, frames=frames, **picture)
    whole, fixed = tile_bytes(1, **picture), tile_bytes(0, **picture)
    return fixed + int((whole - fixed) * work.height * work.width * frames / 17)  # both sections at once


def largest_workload(resolution: int) -> Workload:
    """Return the usual video of a model's largest size, with the smallest tiles."""
    height, width = max(buckets(resolution), key=lambda bucket: bucket[0] * bucket[1])
    return Workload(height=height, width=width, tile_px=TILE_SIZES_PX[-1])


def size_of(name: str, precision: str = "bf16", *, compiled: bool = False) -> ModelSize:
    """Return the size of a model in the catalogue; a farm's own models have FramePack's.

    For `pocket` no packed sizes are kept: it counts as whole in every precision.
    """
    if name in {"pocket", "pocket-f1"} and (shipped := read_shipped()) is not None:
        return replace(shipped.size, precision=precision, compiled=compiled)
    return replace(MODEL_SIZES["tiny" if name.startswith("tiny") else "framepack", precision], compiled=compiled)


def _rungs(size: ModelSize, work: Workload) -> Iterator[MemoryPlan]:
    kept: tuple[Keeps, ...] = ("all", "transformer", "nothing")
    for rung, keeps in enumerate(kept):
        yield _plan(size, work, rung=rung, keeps=keeps)
    for rung in range(1, _RUNGS + 1):
        if streamed := rung * len(size.block_bytes) // _RUNGS:
            yield _plan(size, work, rung=len(kept) - 1 + rung, keeps="nothing", streamed=streamed)


def _plan(size: ModelSize, work: Workload, *, rung: int, keeps: Keeps, streamed: int = 0) -> MemoryPlan:
    blocks = size.block_bytes
    chosen = streamed_blocks(streamed, len(blocks)) if streamed else ()
    moved = sum(blocks[number] for number in chosen)
    slots = 2 * max((blocks[number] for number in chosen), default=0)
    loop = sum(blocks) - moved + slots + size.rest_bytes
    forward = int(FORWARD_COPIES * work.tokens(size) * size.dim * size.itemsize)
    forward += int(_PRODUCT_COPIES[size.precision] * size.largest_matrix * size.itemsize)
    if size.compiled:
        forward += _ANSWER_ITEMSIZE.get(size.precision, 0) * work.tokens(size) * size.widest_answer
    forward += _CACHE_COPIES * work.branches * work.cached * work.tokens(size) * size.dim * size.itemsize
    refine = _refiner_bytes(size) + (0 if keeps == "all" else size.largest_hoisted_bytes)
    forward = max(forward, refine)
    frames = 17 if work.continues else 1
    picture = _ENCODE_COPIES * size.vae_channels * size.vae_itemsize * frames * work.height * work.width
    decode = decode_work_bytes(size, work)
    streamed_text = 2 * size.text_block_bytes + size.text_rest_bytes
    others = size.text_2_bytes + size.image_bytes
    if keeps == "all":
        held = loop + size.hoisted_bytes + size.text_bytes + others + size.vae_bytes
        section, encode, decode = held + forward, held + picture, held + decode
    elif keeps == "transformer":
        held = loop + size.vae_bytes
        section, decode = held + forward, held + decode
        encode = held + max(streamed_text, size.text_2_bytes, size.image_bytes, picture)
    else:
        section, decode = loop + forward, size.vae_bytes + decode
        encode = max(streamed_text, size.text_2_bytes, size.image_bytes, size.vae_bytes + picture)
    return MemoryPlan(
        rung=rung,
        keeps=keeps,
        hoisted=keeps != "all",
        streamed=streamed,
        blocks=len(blocks),
        text="whole" if keeps == "all" else "streamed",
        mapped=False,
        section_bytes=section,
        encode_bytes=encode,
        decode_bytes=decode,
        streamed_bytes=moved,
        precision=size.precision,
    )


def _refiner_bytes(size: ModelSize) -> int:
    """Return what the token refiner takes: more than the blocks if the picture is very small."""
    square = _PADDED_TEXT * _PADDED_TEXT
    scores = int(1.25 * size.heads * square * size.itemsize) + 3 * square  # 3 masks of a byte
    return scores + _REFINER_COPIES * _PADDED_TEXT * size.dim * size.itemsize
