"""From a checked request to a stored video. The farm settles model, images, plan and seed before it writes anything."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import NamedTuple

from farm.contract import JobPlan, Media, ModelCard, Planner, VideoFacts
from farm.errors import InvalidRequest
from farm.intake.body import Intake
from farm.intake.images import CleanImage, clean_image
from farm.intake.posters import draw, with_poster
from farm.jobs import Jobs, Record, Submission
from farm.jobs.origin import Origin
from farm.receiver import NO_HOOKS, Hooks, Receiver, checked_url
from farm.request import Variants, VideoRequest
from farm.settings import FarmSettings


class Prepared(NamedTuple):
    """A request that the farm can render."""

    request: VideoRequest  #: with its model and its preset's values filled in
    plan: JobPlan
    images: dict[str, bytes]  #: "start", "end", "keyframe_<section>" -> PNG; "source" -> an uploaded video file
    fingerprint: str  #: sha256 of the request as it was sent
    origin: Origin | None = None  #: the video that it remixes or extends
    hooks: Hooks = NO_HOOKS  #: the receivers that learn of its end
    variants: Variants = Variants()

    def also(self, *facts: object) -> str:
        """Return the fingerprint of a video that depends on more than the request."""
        return hashlib.sha256(json.dumps([self.fingerprint, *facts]).encode()).hexdigest()


class Tools(NamedTuple):
    """The tools with which requests are prepared."""

    settings: FarmSettings
    planner: Planner
    media: Media


def prepare(intake: Intake, tools: Tools, *, source: VideoFacts | None = None) -> Prepared:
    """Settle everything that the farm may reject, and write nothing. Decoding the images takes the time.

    source: the video that is extended; its last frame replaces the start image.
    Raises: InvalidRequest, UnsupportedImage, TooLarge.
    """
    settings, planner, media = tools
    card = _model(intake.request, settings=settings, planner=planner)
    _check_images(intake, card, extends=source is not None)
    clean = {
        name: clean_image(data, max_pixels=settings.max_pixels, upright_rgb=media.upright_rgb, name=name)
        for name, data in sorted(intake.images.items())
    }
    start = source or clean.get("input_reference")
    hooks = _hooks(intake.request, settings)
    known = {"model": card.name, "loras": planner.pin_loras(intake.request.loras)}
    request, plan = planner.settle(
        intake.request.model_copy(update=known),
        image_size=(start.height, start.width) if start else intake.image_size,
        source_frames=source.frames if source else 0,
    )
    return Prepared(request, plan, _inputs(clean, request, plan, planner), _fingerprint(intake), hooks=hooks)


def accept(prepared: Prepared, jobs: Jobs, *, owner: str, idempotency_key: str | None) -> Record:
    """Draw the seeds that the request leaves out, and store the video or the batch. Raises: Conflict."""
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


def input_names(request: VideoRequest, plan: JobPlan, planner: Planner) -> dict[str, str]:
    """Return which input of the video each picture of its request becomes; a keyframe's has its section's number.

    Raises: InvalidRequest for a keyframe after the video's end.
    """
    names = {"input_reference": "start", "end_image": "end"}
    for frame in request.keyframes:
        at_s = frame.at_s
        if at_s > plan.frames / plan.fps:
            fault = f"at_s={at_s:g} is after the video's end ({plan.frames / plan.fps:g} s)"
            raise InvalidRequest.of("keyframes", fault)
        names[frame.image] = f"keyframe_{planner.keyframe_section(at_s, plan)}"
    return names


def default_model(settings: FarmSettings, planner: Planner) -> str:
    """Return the model of a request that names none."""
    return settings.model or next(iter(planner.models()), "")


def _model(request: VideoRequest, *, settings: FarmSettings, planner: Planner) -> ModelCard:
    models = planner.models()
    name = request.model or default_model(settings, planner)
    if name not in models:
        raise InvalidRequest.of("model", f"this farm has no model {name!r}; it has {', '.join(models)}")
    return models[name]


def _check_images(intake: Intake, card: ModelCard, *, extends: bool) -> None:
    """Check that the model can use the images, and that the keyframes match theirs. Raises: InvalidRequest."""
    has_start = "input_reference" in intake.images or intake.image_size is not None
    named = [frame.image for frame in intake.request.keyframes]
    sent = [name for name in intake.images if name.startswith("keyframe_")]
    faults = {}
    if extends and card.kind != "f1":
        faults["model"] = f"{card.name} works from the end to the start; only an F1 model can extend a video"
    elif extends and "input_reference" in intake.images:
        faults["input_reference"] = "an extension starts with the last frame of the other video; leave the image out"
    elif card.needs_image and not extends and not has_start:
        faults["input_reference"] = f"the model {card.name} needs a start image"
    if card.kind == "f1" and "end_image" in intake.images:
        faults["end_image"] = f"{card.name} is an F1 model and cannot use an end image"
    if card.kind == "f1" and intake.request.loop:
        faults["loop"] = f"{card.name} is an F1 model and cannot end with a given picture"
    elif intake.request.loop and "end_image" in intake.images:
        faults["end_image"] = "loop=true already ends with the start image; leave one of them out"
    if card.kind == "f1" and (named or sent):
        faults["keyframes"] = f"{card.name} is an F1 model and cannot use keyframes"
    elif sorted(named) != sorted(sent) and (intake.image_size is None or set(sent) - set(named)):
        faults["keyframes"] = f"it names the parts {sorted(named)}, but the request has {sorted(sent)}"
    if faults:
        raise InvalidRequest.naming(faults)


def _inputs(clean: dict[str, CleanImage], request: VideoRequest, plan: JobPlan, planner: Planner) -> dict[str, bytes]:
    names = input_names(request, plan, planner)
    if len(set(names.values())) != len(names):
        raise InvalidRequest.of("keyframes", "two of them fall into the same section; a section can have only one")
    inputs = {names[part]: image.png for part, image in clean.items()}
    if "start" in inputs:
        inputs["start"] = with_poster(inputs["start"], draw(clean["input_reference"].small, plan))
    return inputs | ({"end": inputs["start"]} if request.loop and "start" in inputs else {})


def _hooks(request: VideoRequest, settings: FarmSettings) -> Hooks:
    """Return the receivers of the video's end. Raises: InvalidRequest for a forbidden address or a missing secret."""
    hosts, receiver = dict[str, str](), None
    if settings.webhook_url is not None:
        hosts["farm"] = checked_url(settings.webhook_url, allow_private=settings.webhook_allow_private).host
    if request.webhook_url is not None:
        url, secret = request.webhook_url.get_secret_value(), request.webhook_secret
        try:
            hosts["request"] = checked_url(url, allow_private=settings.webhook_allow_private).host
        except ValueError as err:
            raise InvalidRequest.of("webhook_url", str(err)) from err
        if secret is None and settings.webhook_secret is None:
            raise InvalidRequest.of("webhook_secret", "this farm has no FARM_WEBHOOK_SECRET; send a secret of your own")
        receiver = Receiver(url=url, secret=secret.get_secret_value() if secret else None)
    return Hooks(hosts, receiver)


def _fingerprint(intake: Intake) -> str:
    """Hash the request as it was sent; a form and a JSON body with the same content get the same hash."""
    images = {name: hashlib.sha256(data).hexdigest() for name, data in intake.images.items()}
    fields = intake.request.model_dump(mode="json")
    if (url := intake.request.webhook_url) is not None:
        secret = intake.request.webhook_secret
        fields["webhook"] = [url.get_secret_value(), secret.get_secret_value() if secret else None]
    if intake.request.preset is not None:  # then a default that was set differs from one that was left out
        fields["set"] = sorted(intake.request.model_fields_set)
    text = json.dumps([fields, images], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
