"""TODO deploy/terminal."""
