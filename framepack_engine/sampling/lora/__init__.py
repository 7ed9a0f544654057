"""LoRAs: files by name, the facts in them, the formats of trainers, and the stack that acts."""
