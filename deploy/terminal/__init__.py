"""The terminal's side of the commands: flags, messages, progress."""
