"""What a terminal shows: flags, messages, progress."""
