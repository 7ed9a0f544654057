"""The append-only ledger of each video, and the layout of all keys in the store."""

from farm.ledger.log import Entry, Ledger

__all__ = ["Entry", "Ledger"]
