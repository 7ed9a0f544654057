"""What the cloud of this machine says of the machine's end."""
