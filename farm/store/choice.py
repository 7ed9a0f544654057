"""Open the store that the settings name."""

from __future__ import annotations

from farm.settings import FarmSettings
from farm.store.folder import FolderStore
from farm.store.protocol import Store
from farm.store.wrapped import HastyStore


def open_store(settings: FarmSettings, *, is_hasty: bool = False) -> Store:
    """Open FARM_STORAGE: a bucket for s3://, otherwise a folder.

    is_hasty: no call waits longer than a few seconds for a server that says nothing.
    Raises: StoreError if it cannot be used.
    """
    if settings.storage.startswith("s3://"):
        from farm.store.s3 import HASTY, S3Store  # boto3 takes 0.3 s to load

        if is_hasty:
            return HastyStore(S3Store(settings.storage, endpoint=settings.s3_endpoint, patience=HASTY))
        return S3Store(settings.storage, endpoint=settings.s3_endpoint)
    return FolderStore(settings.storage_path)
