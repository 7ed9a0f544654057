"""Copy inputs, sections and clips of another video into a new one, so that either video can be deleted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from farm.contract import Artifact, JobId
from farm.ledger import Ledger
from farm.ledger.damage import check_file
from farm.ledger.layout import copy_key
from farm.ledger.states import Event, JobState
from farm.store import ObjectMissing, Store


class Origin(NamedTuple):
    """The other video, and which of its objects the new one takes over."""

    relation: Literal["remix", "extension"]
    job: JobId
    inputs: Mapping[str, Artifact]  #: name -> object to become an input
    work: Mapping[str, Artifact]  #: "section/0", "preview/0", "clip/0" … -> finished object
    state: JobState  #: of the other video; its numeric class and tile size go with its sections

    def copied_inputs(self, store: Store, job_id: JobId) -> dict[str, Artifact]:
        """Store the inputs of the new video `job_id`. Raises: as `copied_work`."""
        return {name: self._copy(store, job_id, "inputs", name, found) for name, found in self.inputs.items()}

    def copied_work(self, store: Store, job_id: JobId) -> Event:
        """Store the shared sections; return the new video's entry 0, which names them.

        Raises: NotFound if the other video is gone; StoreError if one of its objects is damaged.
        """
        if not self.work:
            return Event(name="accepted")
        copies = {name: self._copy(store, job_id, "shared", name, found) for name, found in sorted(self.work.items())}
        return Event(
            name="accepted",
            artifacts=copies,
            numeric_class=self.state.numeric_class,
            numeric_classes=self.state.numeric_classes,
            decode_tile_px=self.state.decode_tile_px,
        )

    def _copy(
        self, store: Store, job_id: JobId, folder: Literal["inputs", "shared"], name: str, artifact: Artifact
    ) -> Artifact:
        """Copy an object to the new video."""
        copy = artifact.model_copy(update={"key": copy_key(job_id, folder, name, artifact.key)})
        with tempfile.TemporaryDirectory(prefix="framefarm-copy-") as temporary:
            path = Path(temporary, "object")
            try:
                store.download(artifact.key, path)
            except ObjectMissing:
                Ledger(store).head(self.job)  # raises NotFound if the other video was deleted in the meantime
                raise
            check_file(path, artifact)
            store.put_if_absent(copy.key, path)
        return copy
