"""Open the store that the settings name."""

from __future__ import annotations

from farm.settings import FarmSettings
from farm.store.folder import FolderStore
from farm.store.protocol import Store


def open_store(settings: FarmSettings) -> Store:
    """Open FARM_STORAGE: a bucket for s3://, otherwise a folder. Raises: StoreError if it cannot be used."""
    if settings.storage.startswith("s3://"):
        from farm.store.s3 import S3Store  # boto3 takes 0.3 s to load

        return S3Store(settings.storage, endpoint=settings.s3_endpoint)
    return FolderStore(settings.storage_path)
