"""Notices in which clouds say that a machine ends."""
