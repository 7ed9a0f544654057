"""Decide which weights a device holds, and when: the plan of memory, placement, streaming."""
