"""What this machine is and runs: GPUs, checks, a local farm, joining another."""
