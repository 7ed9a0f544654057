"""What the farm and the engine can do, measured."""
