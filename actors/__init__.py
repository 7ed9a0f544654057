"""Thin Ray actors: the dispatcher and the render workers."""
