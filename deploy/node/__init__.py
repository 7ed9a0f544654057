"""TODO deploy/node."""
