"""Not the product: benches of the farm and the engine, and the training of small models."""
