"""A page of videos as records, for tests that look at requests and states."""

from __future__ import annotations

from typing import Any, NamedTuple

from farm.jobs import Jobs, Record
from farm.jobs.catalog import Catalog
from farm.jobs.pages import Wanted
from farm.jobs.pages import read_page as read
from farm.ledger.states import Status


class Records(NamedTuple):
    """As farm.jobs.pages.Page."""

    records: list[Record]
    has_more: bool
    last: str | None


def read_page(jobs: Jobs, *, owner: str, status: Status | None = None, **options: Any) -> Records:
    """Read the page with an empty catalog."""
    page = read(Catalog(jobs, lambda *_: b""), owner=owner, wanted=Wanted(status=status), **options)
    return Records([jobs.get(listed.id, owner=owner) for listed in page.videos], page.has_more, page.last)
