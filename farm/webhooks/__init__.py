"""Webhooks: tell receivers that a video has ended."""
