"""Training on pictures that are made, not fetched: the small model `pocket`, and LoRAs of the large ones."""
