"""One section: packed context, sampler, transformer, caches, attention, LoRAs."""
