"""Signed texts that stand for a key: sessions of browsers, and links that expire."""
