"""Benches of the farm and of the engine."""
