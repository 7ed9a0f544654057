"""Server-Sent Events: of one video, and of all that belongs to an owner."""
