"""What a device holds, and when: the plan of memory, placement, streaming."""
