"""A client's request before it becomes a job: form or JSON, images, files."""
