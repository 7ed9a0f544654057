"""Training a LoRA of a large model on a folder of clips."""
