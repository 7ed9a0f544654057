"""LoRAs: files by name, what they say of themselves, the formats of trainers, and the stack that acts."""
