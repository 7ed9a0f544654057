"""TODO deploy/commands."""
