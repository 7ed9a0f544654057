"""The GPU actor: it holds the model and works on one order at a time."""
