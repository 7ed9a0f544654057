"""Notices in which this machine's cloud says that the machine ends."""
