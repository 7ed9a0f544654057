"""What clouds say of their machines: notices that one ends."""
