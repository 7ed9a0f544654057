"""A metadata service on loopback, which the test tells what to say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import pytest

from deploy.node.notices import find, gcp, metadata
from deploy.node.notices.metadata import Metadata
from tests.metadata_server import MetadataServer, State
from tests.patience import patient


class Service(MetadataServer):
    """The service; `now` is what it does."""

    def __init__(self) -> None:
        self.now = State("aws")
        super().__init__(lambda: self.now)

    def __enter__(self) -> Self:
        """Answer."""
        self.client = Metadata(self.base)
        return self

    def __exit__(self, *_: object) -> None:
        """Answer nobody any more."""
        self.client.close()
        self.close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service of AWS without news. A busy machine may answer late."""
    for module, name in ((metadata, "_CONNECT_S"), (metadata, "_ANSWER_S"), (find, "_CONNECT_S"), (gcp, "_WAIT_S")):
        monkeypatch.setattr(module, name, int(patient(getattr(module, name))))
    with Service() as service:
        yield service
