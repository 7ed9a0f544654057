"""Requests that nobody could fulfil: refuse them when they are asked, with what is missing."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploy.node.gpus import chosen_gpus
from deploy.terminal.screen import say
from farm.errors import ConfigError, InvalidRequest
from framefarm_client.address import is_loopback
from framepack_engine.planning.choices import CPU_ATTENTIONS

if TYPE_CHECKING:
    from farm.client import FarmClient
    from farm.settings import FarmSettings

_GB = 10**9


def check_workers(client: FarmClient, fields: Mapping[str, Any]) -> None:
    """Check that a worker of the farm could make the video. A farm without workers may get some: let it wait.

    The farm knows which files lie on its head, so models are checked where that is this machine and the only one.
    Raises: InvalidRequest that says what is missing, how large it is, and which command helps.
    """
    wanted, attention = fields.get("model"), fields.get("attention", "auto")
    workers = client.workers()["data"]
    if not workers:
        return
    models = client.models()["data"]
    model = next((each for each in models if (each["id"] == wanted if wanted else each["default"])), None)
    if model is not None and _is_this_machine(client, {worker["node"] for worker in workers}):
        _check_files(model, workers)
    there = sorted({name for worker in workers for name in worker["attentions"]})
    if attention not in {"auto", *there}:
        raise InvalidRequest.of("attention", f"no worker has {attention}; there are {', '.join(there)}")


def _is_this_machine(client: FarmClient, nodes: Collection[str]) -> bool:
    """Tell whether the farm's head is this machine, and has all of its workers."""
    host = urlsplit(client.connection.url).hostname or ""
    return is_loopback(host) and nodes == {os.environ.get("FARM_NODE") or socket.gethostname()}


def _check_files(model: Mapping[str, Any], workers: Sequence[Mapping[str, Any]]) -> None:
    """Check that the farm's only machine has the model's files, and that a worker found them when it began.

    Raises: InvalidRequest.
    """
    no_gpu = all(worker["vram_gib"] is None for worker in workers)
    if not model["weights"]["here"]:
        more = "; then start the farm again: no worker has a GPU, and only those with one fetch files" if no_gpu else ""
        raise InvalidRequest.of("model", f"{_files(model['id'], model['weights'])}{more}")
    if no_gpu and not any(model["id"] in worker["models"] for worker in workers):
        raise InvalidRequest.of("model", f"no worker takes {model['id']}: its files are newer; restart the farm")


def _files(model: str, weights: Mapping[str, Any]) -> str:
    size = weights["missing_bytes"]
    lacks = f"about {size / _GB:.0f} GB of the files" if size else "the files"
    return f"{lacks} of {model} are missing (`framefarm models pull {model}` fetches them)"


def check_here(settings: FarmSettings, model: str | None, *, attention: str = "auto") -> None:
    """Check that a farm that is started here could make a video of the model. None: its default model.

    Raises: ConfigError that says what is missing, how large it is, and which command helps.
    """
    _check_attention(settings, attention)
    if lacks := list(filter(None, _lacks(settings, model))):
        raise ConfigError("; ".join(lacks))


def check_start(settings: FarmSettings) -> None:
    """Check that this machine could render with the farm's model, if its workers are the farm's first.

    A machine with a GPU fetches the files itself: say so.
    Raises: ConfigError that says what is missing, how large it is, which command helps, and how other machines render.
    """
    if settings.workers == "0" or settings.ray:
        return
    _check_attention(settings, settings.attention)
    gpu, files = _lacks(settings, settings.model)
    if gpu and not files and settings.stages and "section" not in settings.stages:
        return  # a CPU can do the other stages
    if gpu or (files and not chosen_gpus(settings)):
        lacks = "; ".join(filter(None, (gpu, files)))
        raise ConfigError(f"{lacks}. If only other machines are to render, start the farm with --workers 0")
    if files:
        from framepack_engine.models.hub import is_offline

        if is_offline():
            raise ConfigError(f"{files}; HF_HUB_OFFLINE keeps the worker from fetching them")
        say(f"{files}; else the worker fetches them before its first video")


def _check_attention(settings: FarmSettings, attention: str) -> None:
    """Check that this machine has the attention, as far as that is known without a GPU. Raises: ConfigError."""
    if attention == "auto" or chosen_gpus(settings):
        return
    if attention not in CPU_ATTENTIONS:
        there = ", ".join(CPU_ATTENTIONS)
        raise ConfigError(f"attention: {attention} needs a GPU, and none was found here; use {there}")


def _lacks(settings: FarmSettings, model: str | None) -> tuple[str, str]:
    """Return what this machine lacks for a model of the hub: a GPU, and files; "" for what is here."""
    from deploy.node.local import usual_model
    from deploy.planner import EnginePlanner, own_models

    known, gpus = own_models(settings.models), chosen_gpus(settings)
    model = model or usual_model(gpus)
    if model not in known or known[model].origin != "hub":
        return "", ""
    weights = EnginePlanner(models=settings.models).weights(model)
    files = "" if weights.here else _files(model, weights.model_dump())
    no_gpu = not gpus and settings.device_gb is None
    return f"{model} needs a GPU, and none was found here (pocket needs none)" if no_gpu else "", files
