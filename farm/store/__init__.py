"""Object stores: the one place for everything durable."""

from farm.store.choice import open_store
from farm.store.folder import FolderStore
from farm.store.protocol import ObjectMissing, Store, check_key, keys_below
from farm.store.wrapped import MeteredStore

__all__ = ["FolderStore", "MeteredStore", "ObjectMissing", "Store", "check_key", "keys_below", "open_store"]
