"""What a client sends, before it becomes a job: form or JSON, images, files."""
