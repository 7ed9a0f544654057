"""From a checked request to a stored video: model, images, plan and seed are settled before anything is written."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from farm.contract import JobPlan, Media, ModelCard, Planner, VideoFacts
from farm.errors import InvalidRequest
from farm.intake.body import Intake
from farm.intake.images import CleanImage, clean_image
from farm.jobs import Jobs, Record, Submission
from farm.jobs.origin import Origin
from farm.receiver import NO_HOOKS, Hooks, Receiver, checked_url
from farm.request import Variants, VideoRequest, invalid
from farm.settings import FarmSettings


class Prepared(NamedTuple):
    """A request that can be rendered."""

    request: VideoRequest  #: with its model set
    plan: JobPlan
    images: dict[str, bytes]  #: "start", "end", "keyframe_<section>" -> PNG; "source" -> a video that was sent
    fingerprint: str  #: sha256 of the request as it was sent
    origin: Origin | None = None  #: the video that it comes from
    hooks: Hooks = NO_HOOKS  #: who is told of its end
    variants: Variants = Variants()

    def also(self, *facts: object) -> str:
        """The fingerprint where more than the request decides what is made."""
        return hashlib.sha256(json.dumps([self.fingerprint, *facts]).encode()).hexdigest()


class Ways(NamedTuple):
    """What requests are settled with."""

    settings: FarmSettings
    planner: Planner
    media: Media


def prepare(intake: Intake, ways: Ways, *, source: VideoFacts | None = None) -> Prepared:
    """Settle everything that can be refused; writes nothing. Takes as long as decoding the images takes.

    source: the video that is extended; then it stands for the start image.
    Raises: InvalidRequest, UnsupportedImage, TooLarge.
    """
    settings, planner, media = ways
    card = _model(intake.request, settings=settings, planner=planner)
    _check_images(intake, card, extends=source is not None)
    clean = {
        name: clean_image(data, max_pixels=settings.max_pixels, upright_rgb=media.upright_rgb, name=name)
        for name, data in sorted(intake.images.items())
    }
    start = source or clean.get("input_reference")
    hooks = _hooks(intake.request, settings)
    settled = {"model": card.name, "loras": planner.pin_loras(intake.request.loras)}
    request = intake.request.model_copy(update=settled)
    plan = planner.plan(
        request,
        image_size=(start.height, start.width) if start else None,
        source_frames=source.frames if source else 0,
    )
    request = _with_preset(request, planner.preset(request, plan))
    return Prepared(request, plan, _inputs(clean, request, plan, planner), _fingerprint(intake), hooks=hooks)


def accept(prepared: Prepared, jobs: Jobs, *, owner: str, idempotency_key: str | None) -> Record:
    """Draw the seeds where none were asked for, and store the video, or the batch. Raises: Conflict."""
    request, plan = prepared.request, prepared.plan
    seed = secrets.randbelow(2**32) if request.seed is None else request.seed
    new = Submission(
        request=request.model_copy(update={"seed": seed, "size": f"{plan.width}x{plan.height}"}),
        plan=plan,
        images=prepared.images,
        owner=owner,
        fingerprint=prepared.fingerprint,
        idempotency_key=idempotency_key,
        origin=prepared.origin,
        hooks=prepared.hooks,
        seeds=prepared.variants.drawn(request.seed),
    )
    return jobs.accept(new)


def keyframe_section(at_s: float, plan: JobPlan, planner: Planner) -> int:
    """The section, in generation order, that shows time `at_s`.

    Raises: InvalidRequest where the video is over by then.
    """
    if at_s > plan.frames / plan.fps:
        text = f"at_s={at_s:g} is after the video's end ({plan.frames / plan.fps:g} s)"
        raise InvalidRequest(f"keyframes: {text}", fields={"keyframes": text})
    return planner.keyframe_section(at_s, plan)


def _model(request: VideoRequest, *, settings: FarmSettings, planner: Planner) -> ModelCard:
    models = planner.models()
    name = request.model or settings.model or next(iter(models), "")
    if name not in models:
        text = f"no model {name!r} here; there are {', '.join(models)}"
        raise InvalidRequest(text, fields={"model": text})
    return models[name]


def _with_preset(request: VideoRequest, says: Mapping[str, object]) -> VideoRequest:
    """Fill in what a preset says: what the user set stays.

    Raises: InvalidRequest where the user's fields and the preset's cannot be one request.
    """
    if not says:
        return request
    try:
        return VideoRequest.model_validate(request.model_dump() | dict(says))
    except ValidationError as err:
        raise invalid(err) from err


def _check_images(intake: Intake, card: ModelCard, *, extends: bool) -> None:
    """Which images a model wants, and whether keyframes and their parts agree."""
    named = [frame.image for frame in intake.request.keyframes]
    sent = [name for name in intake.images if name.startswith("keyframe_")]
    faults = {}
    if extends and card.kind != "f1":
        faults["model"] = f"{card.name} works from the end to the start; only an F1 model goes on where a video ends"
    elif extends and "input_reference" in intake.images:
        faults["input_reference"] = "an extension starts with the last frame of its video"
    elif card.needs_image and not extends and "input_reference" not in intake.images:
        faults["input_reference"] = f"the model {card.name} needs a start image"
    if card.kind == "f1" and "end_image" in intake.images:
        faults["end_image"] = f"{card.name} is an F1 model and makes no end image"
    if card.kind == "f1" and intake.request.loop:
        faults["loop"] = f"{card.name} is an F1 model and aims at no last picture"
    elif intake.request.loop and "end_image" in intake.images:
        faults["end_image"] = "loop=true ends with the start image; leave one of them out"
    if card.kind == "f1" and (named or sent):
        faults["keyframes"] = f"{card.name} is an F1 model and takes no keyframes"
    elif sorted(named) != sorted(sent):
        faults["keyframes"] = f"it names the parts {sorted(named)}, but {sorted(sent)} were sent"
    if faults:
        raise InvalidRequest("; ".join(faults.values()), fields=faults)


def _inputs(clean: dict[str, CleanImage], request: VideoRequest, plan: JobPlan, planner: Planner) -> dict[str, bytes]:
    names = {"input_reference": "start", "end_image": "end"}
    for frame in request.keyframes:
        names[frame.image] = f"keyframe_{keyframe_section(frame.at_s, plan, planner)}"
    if len(set(names.values())) != len(names):
        text = "two of them fall into the same section; a section takes one"
        raise InvalidRequest(f"keyframes: {text}", fields={"keyframes": text})
    inputs = {names[part]: image.png for part, image in clean.items()}
    return inputs | ({"end": inputs["start"]} if request.loop else {})


def _hooks(request: VideoRequest, settings: FarmSettings) -> Hooks:
    """Who is told of the video's end. Raises: InvalidRequest where the farm does not connect there, or cannot sign."""
    hosts, receiver = dict[str, str](), None
    if settings.webhook_url is not None:
        hosts["farm"] = checked_url(settings.webhook_url, allow_private=settings.webhook_allow_private).host
    if request.webhook_url is not None:
        url, secret = request.webhook_url.get_secret_value(), request.webhook_secret
        try:
            hosts["request"] = checked_url(url, allow_private=settings.webhook_allow_private).host
        except ValueError as err:
            raise InvalidRequest(f"webhook_url: {err}", fields={"webhook_url": str(err)}) from err
        if secret is None and settings.webhook_secret is None:
            text = "this farm has no FARM_WEBHOOK_SECRET, so send one of your own with webhook_url"
            raise InvalidRequest(f"webhook_secret: {text}", fields={"webhook_secret": text})
        receiver = Receiver(url=url, secret=secret.get_secret_value() if secret else None)
    return Hooks(hosts, receiver)


def _fingerprint(intake: Intake) -> str:
    """The same for a form and a JSON body that ask for the same; the seed is not drawn yet."""
    images = {name: hashlib.sha256(data).hexdigest() for name, data in intake.images.items()}
    fields = intake.request.model_dump(mode="json")
    if (url := intake.request.webhook_url) is not None:
        secret = intake.request.webhook_secret
        fields["webhook"] = [url.get_secret_value(), secret.get_secret_value() if secret else None]
    if intake.request.preset is not None:  # then it matters whether a default was set or left out
        fields["set"] = sorted(intake.request.model_fields_set)
    text = json.dumps([fields, images], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
