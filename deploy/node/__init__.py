"""The machine that runs this command: its GPUs, its checks, its own farm, and its way into another farm."""
