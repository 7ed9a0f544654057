"""Telling receivers that a video ended."""
