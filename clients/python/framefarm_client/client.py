"""A client of a farm that speaks in the farm's own JSON objects, for scripts and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from framefarm_client import calls, file_calls
from framefarm_client.connection import Connection
from framefarm_client.wires import BlockingWire, blocking, blocking_each, now

if TYPE_CHECKING:
    import httpx


class FarmClient:
    """A connection to one farm. It retries every call that a broken connection interrupts, for `patience_s`.

    `Farm` is the same with typed videos. Several threads may share a client.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises: ConfigError for an address, or a proxy of the environment, that cannot be used.

        url: with or without its scheme and `/v1`. transport: replaces the network in tests.
        """
        self.connection = Connection(BlockingWire, url, api_key=api_key, patience_s=patience_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        now(self.connection.wire.close())

    submit = blocking(calls.submit)
    estimate = blocking(calls.estimate)
    remix = blocking(calls.remix)
    extend = blocking(calls.extend)
    get = blocking(calls.get)
    list = blocking(calls.page)
    every = blocking_each(calls.every)
    wish = blocking(calls.wish)
    edit = blocking(calls.edit)
    move = blocking(calls.move)
    delete = blocking(calls.delete)
    link = blocking(calls.link)
    watch = blocking_each(calls.watch)
    events = blocking_each(calls.follow)
    fetch = blocking(calls.fetch)
    export = blocking(calls.export)
    import_archive = blocking(calls.import_archive)
    inspect = blocking(calls.inspect)
    upload = blocking(file_calls.upload)
    get_file = blocking(file_calls.get_file)
    files = blocking_each(file_calls.files)
    fetch_file = blocking(file_calls.fetch_file)
    delete_file = blocking(file_calls.delete_file)
    farm = blocking(calls.about)
    models = blocking(calls.models)
    loras = blocking(calls.loras)
    workers = blocking(calls.workers)
    worker_wish = blocking(calls.worker_wish)
    presets = blocking(calls.presets)
    save_preset = blocking(calls.save_preset)
    delete_preset = blocking(calls.delete_preset)
