"""What a new video takes over from another: inputs, sections, clips. They are copied, so that either may be deleted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from farm.contract import Artifact, JobId
from farm.errors import NotFound
from farm.ledger.damage import check_file
from farm.ledger.layout import copy_key
from farm.ledger.states import Event, JobState
from farm.store import ObjectMissing, Store


class Origin(NamedTuple):
    """The other video, and what of it is taken over."""

    relation: Literal["remix", "extension"]
    job: JobId
    inputs: Mapping[str, Artifact]  #: name -> object that becomes an input
    work: Mapping[str, Artifact]  #: "section/0", "preview/0", "clip/0" … -> object that counts as made
    state: JobState  #: of that video, whose pinned class and tiles go with its sections

    def copied_inputs(self, store: Store, job_id: JobId) -> dict[str, Artifact]:
        """The inputs of the new video `job_id`, stored. Raises: as `copied_work`."""
        return {name: _copy(store, job_id, "inputs", name, found) for name, found in self.inputs.items()}

    def copied_work(self, store: Store, job_id: JobId) -> Event:
        """Entry 0 of the new video, once what it shares is stored.

        Raises: NotFound where the other video is gone; StoreError where an object of its is damaged.
        """
        if not self.work:
            return Event(name="accepted")
        copies = {name: _copy(store, job_id, "shared", name, artifact) for name, artifact in sorted(self.work.items())}
        return Event(
            name="accepted",
            artifacts=copies,
            numeric_class=self.state.numeric_class,
            numeric_classes=self.state.numeric_classes,
            decode_tile_px=self.state.decode_tile_px,
        )


def _copy(store: Store, job_id: JobId, folder: Literal["inputs", "shared"], name: str, artifact: Artifact) -> Artifact:
    """A copy under the new video's own prefix."""
    copy = artifact.model_copy(update={"key": copy_key(job_id, folder, name, artifact.key)})
    with tempfile.TemporaryDirectory(prefix="framefarm-copy-") as temporary:
        path = Path(temporary, "object")
        try:
            store.download(artifact.key, path)
        except ObjectMissing as err:
            raise NotFound("the video that this one comes from was deleted meanwhile") from err
        check_file(path, artifact)
        store.put_if_absent(copy.key, path)
    return copy
