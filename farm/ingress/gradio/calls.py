"""The calls. Each returns the event whose id the client then follows; a refusal is also an event."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool

from farm.errors import Conflict, FarmError, InvalidRequest, NotFound, StoreError
from farm.ingress.gradio.asked import body_of, file_ids, in_the_scripts_words, intake_of, preserved_gb
from farm.ingress.gradio.doors import NAMES_OF_PRESETS, PRESET_OUTPUTS, Call
from farm.ingress.gradio.rows import update
from farm.ingress.gradio.visit import Visit
from farm.ingress.posts import accepted, check_room, counted, nudge, prepared, workers
from farm.intake.prepare import prepare
from farm.intake.uploads import with_files
from farm.jobs import Record
from farm.jobs.scripts import ScriptSession, is_awaited
from farm.ledger.notes import ScriptEvent, ScriptSections

log = logging.getLogger(__name__)
_RANDOM_SEEDS = 2**32
_FORKS_GB = {"Hand Movement": 8}  #: memory that the fork's presets preserve, if it is not 6
_RETRY_S = 1.0
#: writes the note of an accepted video -> its session's folder; the event loop alone would not keep these tasks
_late_notes = dict[asyncio.Task[None], str]()


class Asked(NamedTuple):
    """A call that a client asks for."""

    call: Call
    session: ScriptSession
    visit: Visit


async def begin(asked: Asked, take: Callable[[], dict[str, Any]]) -> ScriptEvent:
    """Do what the call asks; note in the session what its stream must tell. take: returns the checked values.

    Raises: StoreError if the note cannot be written.
    """
    event = ScriptEvent(id="", door=asked.visit.door.path, call=asked.call.name)
    try:
        values = take()
        if asked.call.function == "process":
            return await _wait_for(asked, await _process(asked, values))
        data = await _OTHERS[asked.call.function](asked, values)
        event = event.model_copy(update={"data": tuple(data)})
    except FarmError as err:
        log.info("script_refused: %s", err, extra={"code": err.code})
        event = event.model_copy(update={"error": in_the_scripts_words(err)})
    event = await run_in_threadpool(asked.session.answer, event)
    asked.visit.deps.bells.ring(asked.session.folder)
    return event


async def _wait_for(asked: Asked, record: Record) -> ScriptEvent:
    """Note that the session waits for a video.

    The video is accepted. If the store does not take the note now, the client has the video's id all the same: it
    would ask for a second video if it were told of a refusal.
    """
    door, call = asked.visit.door.path, asked.call.name
    note = partial(asked.session.wait_for, record, door=door, call=call)
    try:
        await run_in_threadpool(note)
    except StoreError as err:
        log.warning("note_late: %s", err, extra={"job_id": record.job.id})
        task = asyncio.create_task(_note_later(note, asked))
        _late_notes[task] = asked.session.folder
        task.add_done_callback(_late_notes.pop)
    asked.visit.deps.bells.ring(asked.session.folder)
    return ScriptEvent(id=record.job.id, door=door, call=call)


async def _note_later(note: Callable[[], ScriptEvent], asked: Asked) -> None:
    """Try until the store takes the note."""
    while True:
        await asyncio.sleep(_RETRY_S)
        try:
            await run_in_threadpool(note)
        except StoreError:
            continue
        asked.visit.deps.bells.ring(asked.session.folder)
        return


def has_late_note(session: ScriptSession) -> bool:
    """Tell whether this process still tries to note a call of the session."""
    return session.folder in _late_notes.values()


async def cancel(session: ScriptSession | None, video_id: str, visit: Visit) -> bool:
    """Cancel a video that the session waits for; None: any session of the owner. Tell whether it will not be made.

    Raises: StoreError.
    """
    deps, owner = visit.deps, visit.owner
    try:
        record = await run_in_threadpool(deps.jobs.get, video_id, owner=owner)
        is_waiting: Callable[[Record], bool] = session.waits_for if session else partial(is_awaited, deps.jobs.store)
        if not await run_in_threadpool(is_waiting, record):
            return False
        await run_in_threadpool(deps.jobs.wish, video_id, "cancel", owner=owner)
    except (NotFound, Conflict):  # it is not the owner's, or it has ended
        return False
    log.info("cancel", extra={"job_id": video_id})
    await nudge(deps, record.job.id, owner)
    return True


async def _process(asked: Asked, values: dict[str, Any]) -> Record:
    """Accept a video. Raises: as POST /v1/videos."""
    deps, owner = asked.visit.deps, asked.visit.owner
    sections = await run_in_threadpool(asked.session.sections)
    body = body_of(values, sections, deps.planner)
    preserve_gb = preserved_gb(values["gpu_memory_preservation"], deps.default_model, await workers(deps))
    await check_room(deps, owner)
    with counted(deps):
        body = await run_in_threadpool(partial(with_files, body, deps.files, deps.settings, owner=owner))
        intake = intake_of(body, deps.planner, preserve_gb=preserve_gb)
        return await accepted(deps, owner, await prepared(deps, partial(prepare, intake, deps.tools)))


async def _end_process(asked: Asked, _values: dict[str, Any]) -> list[Any]:
    """Cancel the videos that the session waits for."""
    for key in await run_in_threadpool(asked.session.keys):
        await cancel(asked.session, key.name, asked.visit)
    return []


async def _set_random_seed(_asked: Asked, values: dict[str, Any]) -> list[Any]:
    """Draw a seed for the form."""
    return [secrets.randbelow(_RANDOM_SEEDS) if values["is_checked"] else update()]


async def _apply_preset(asked: Asked, values: dict[str, Any]) -> list[Any]:
    """Tell what a preset of the fork fills in."""
    name = values["preset_name"]
    preset, flow = NAMES_OF_PRESETS[name]
    card = next(card for card in asked.visit.deps.planner.presets() if card.name == preset)
    has_cache = card.fields["cache"] == "teacache"
    changes: dict[str, Any] = {
        "steps": card.fields["num_inference_steps"],
        "gs": card.fields["guidance_scale"],
        "gpu_memory_preservation": _FORKS_GB.get(name, 6),
        "use_teacache": has_cache,
        "hand_optimization": not has_cache,
        "flow_preset": flow,
    }
    if card.prompt:
        changes["prompt"] = card.prompt
    return [update(value=changes[name]) if name in changes else update() for name in PRESET_OUTPUTS]


async def _update_section_settings(asked: Asked, values: dict[str, Any]) -> list[Any]:
    """Keep the session's keyframes."""
    pairs = {f"img{n}": (values[f"num{n}"], values[f"img{n}"]) for n in (1, 2, 3)}
    whole = {name: pair for name, pair in pairs.items() if None not in pair}  # one of them alone is half a form
    files, faults = file_ids({name: path for name, (_, path) in whole.items()}), dict[str, str]()
    for name, identity in files.items():
        try:
            await run_in_threadpool(partial(asked.visit.deps.files.get, identity, owner=asked.visit.owner))
        except NotFound as err:
            faults[name] = str(err)
    if faults:
        raise InvalidRequest.naming(faults)
    numbers = tuple(number for number, _ in whole.values())
    sections = ScriptSections(numbers=numbers, files=tuple(files.values()))
    await run_in_threadpool(asked.session.set_sections, sections)
    return []


_OTHERS = {
    "end_process": _end_process,
    "set_random_seed": _set_random_seed,
    "apply_preset": _apply_preset,
    "update_section_settings": _update_section_settings,
}
