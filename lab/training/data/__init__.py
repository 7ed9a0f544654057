"""Training data of `pocket`: generated pictures, motions and prompts, and photographs."""
