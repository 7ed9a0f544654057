"""Many videos at once: what is wanted, asking for it, following it, the report."""
