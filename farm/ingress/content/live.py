"""The section that is being made, as it looks now. It lives in memory only, while somebody watches."""

from __future__ import annotations

import hashlib

from starlette.responses import Response

from farm.contract import LiveJob, Preview
from farm.errors import NotReady
from farm.ingress.content.serving import drawn
from farm.ingress.content.variants import Asked, filename
from farm.jobs import Record


def live_picture(record: Record, live: LiveJob | None, asked: Asked) -> Response:
    """Serve the preview of the running section. Raises: NotReady."""
    shown = live.progress.preview if live and live.progress else None
    if shown is None:
        raise NotReady("no section is shown now: follow /v1/events?preview=ID, and wait for a `preview` event")
    return drawn(etag_of(shown), lambda: shown.webp, filename=filename(record, "live"), request=asked.request)


def etag_of(shown: Preview) -> str:
    """Return the ETag of a preview."""
    return hashlib.sha256(shown.webp).hexdigest()
