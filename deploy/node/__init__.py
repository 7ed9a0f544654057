"""This machine: its GPUs, the checks of it, its own farm, and joining another farm."""
